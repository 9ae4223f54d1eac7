"""Compare the locked dependencies with known advisories: `python -m benchmarks.release.audit`, or `make audit`.

The advisories come from the Open Source Vulnerabilities database for PyPI, one archive of JSON records
(https://ossf.github.io/osv-schema/). The exit code is 1 if a locked version is affected. If no archive is
available, a line says that nothing was audited, and the exit code is 0.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import sys
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ADVISORIES = "https://osv-vulnerabilities.storage.googleapis.com/PyPI/all.zip"
LOCK = Path(__file__).parents[2] / "requirements.lock"
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;#]+)", re.M)


@dataclass(frozen=True, slots=True)
class Finding:
    """A locked version that an advisory affects."""

    package: str
    version: str
    advisory: str
    summary: str


def locked(text: str) -> dict[str, str]:
    """Return the versions that a lock file pins, by normalised name."""
    return {canonicalize_name(name): version for name, version in _PINNED.findall(text)}


def audit(pins: Mapping[str, str], records: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Return the pinned versions that advisories affect, in order of package name.

    Parameters
    ----------
    pins : mapping
        Versions by normalised name.
    records : iterable of mapping
        Advisories in the OSV schema; withdrawn ones are ignored.
    """
    found = [
        Finding(name, pins[name], str(record["id"]), str(record.get("summary", "")))
        for record in records
        if "withdrawn" not in record
        for name in {_name(affected) for affected in record.get("affected", ())} & pins.keys()
        if any(_is_affected(pins[name], each) for each in record["affected"] if _name(each) == name)
    ]
    return sorted(found, key=lambda finding: (finding.package, finding.advisory))


def read_advisories(place: str) -> Iterator[dict[str, Any]]:
    """Read the records of an archive at a path or URL.

    Raises
    ------
    OSError, httpx.HTTPError, zipfile.BadZipFile
        If it cannot be read.
    """
    if "://" in place:
        answer = httpx.get(place, follow_redirects=True, timeout=60)
        data = answer.raise_for_status().content
    else:
        data = Path(place).read_bytes()
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for name in archive.namelist():
            if name.endswith(".json"):
                yield json.loads(archive.read(name))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Compare the locked dependencies with known advisories.")
    parser.add_argument("--advisories", default=ADVISORIES, help="path or URL of an archive of OSV records")
    place = parser.parse_args(arguments).advisories
    pins = locked(LOCK.read_text())
    try:
        found = audit(pins, read_advisories(place))
    except (OSError, httpx.HTTPError, zipfile.BadZipFile) as error:
        print(f"skipped: no advisories from {place} ({error}); {len(pins)} packages were not audited")
        return 0
    for finding in found:
        print(f"{finding.package} {finding.version}: {finding.advisory} {finding.summary}")
    print(f"{len(pins)} packages audited, {len(found)} advisories concern them")
    return int(bool(found))


def _name(affected: Mapping[str, Any]) -> str:
    package = affected.get("package", {})
    return canonicalize_name(package.get("name", "")) if package.get("ecosystem") == "PyPI" else ""


def _is_affected(version: str, affected: Mapping[str, Any]) -> bool:
    if version in affected.get("versions", ()):
        return True
    ranges = (each for each in affected.get("ranges", ()) if each.get("type") == "ECOSYSTEM")
    return any(_is_within(version, each.get("events", ())) for each in ranges)


def _is_within(version: str, events: Iterable[Mapping[str, str]]) -> bool:
    """Follow the events of a range, oldest first: `introduced` opens it, `fixed` and `last_affected` close it."""
    is_affected = False
    try:
        pinned = Version(version)
        for event in events:
            ((kind, place),) = event.items()
            if kind == "introduced" and (place == "0" or pinned >= Version(place)):
                is_affected = True
            if (kind == "fixed" and pinned >= Version(place)) or (
                kind == "last_affected" and pinned > Version(place)
            ):
                is_affected = False
    except InvalidVersion:
        return False
    return is_affected


if __name__ == "__main__":
    sys.exit(main())

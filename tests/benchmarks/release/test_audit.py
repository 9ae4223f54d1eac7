"""Comparison of locked versions with advisories: affected versions, fixed versions, missing advisories."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.release import audit as command
from benchmarks.release.audit import audit, locked

PINS = {"some-package": "1.4.0", "other": "2.0"}


def advisory(name: str = "Some_Package", **affected: Any) -> dict[str, Any]:
    package = {"package": {"name": name, "ecosystem": "PyPI"}, **affected}
    return {"id": "PYSEC-1", "summary": "bad", "affected": [package]}


def range_of(*events: dict[str, str]) -> dict[str, Any]:
    return {"ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}


@pytest.mark.parametrize(
    ("record", "is_found"),
    [
        (advisory(versions=["1.4.0"]), True),
        (advisory(versions=["1.3.0"]), False),
        (advisory(**range_of({"introduced": "0"}, {"fixed": "1.4.1"})), True),
        (advisory(**range_of({"introduced": "0"}, {"fixed": "1.4.0"})), False),
        (advisory(**range_of({"introduced": "1.5"})), False),
        (advisory(**range_of({"introduced": "0"}, {"fixed": "1.1"}, {"introduced": "1.3"})), True),
        (advisory(**range_of({"introduced": "0"}, {"last_affected": "1.4.0"})), True),
        (advisory(**range_of({"introduced": "0"}, {"last_affected": "1.3.9"})), False),
        (advisory("unknown", versions=["1.4.0"]), False),
        ({**advisory(versions=["1.4.0"]), "withdrawn": "2026-01-01"}, False),
    ],
)
def test_a_version_is_affected_or_not(record: dict[str, Any], is_found: bool) -> None:
    assert bool(audit(PINS, [record])) == is_found


def test_a_lock_file_is_read() -> None:
    assert locked("# a==1\nSome_Package==1.4.0\nother==2.0 # why\n") == PINS


def test_an_affected_version_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock, archive = tmp_path / "lock", tmp_path / "all.zip"
    lock.write_text("some-package==1.4.0\n")
    monkeypatch.setattr(command, "LOCK", lock)
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("PYSEC-1.json", json.dumps(advisory(versions=["1.4.0"])))
    assert command.main(["--advisories", str(archive)]) == 1
    assert "some-package 1.4.0: PYSEC-1 bad" in capsys.readouterr().out


@pytest.mark.parametrize("place", ["http://127.0.0.1:9/all.zip", "/nowhere/all.zip"])
def test_without_advisories_it_says_that_nothing_was_audited(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--advisories", place]) == 0
    assert "were not audited" in capsys.readouterr().out

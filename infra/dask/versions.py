"""Comparison of Python and package versions between the two sides of a Dask connection: see `compare_versions`."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distributed.versions import VersionMismatchWarning

logger = logging.getLogger(__name__)

MUST_MATCH = ("python", "dask", "distributed", "cloudpickle")
"""Packages that serialise the messages between machines. For Python, only the minor version must match."""


@contextmanager
def without_version_tables() -> Iterator[None]:
    """Keep a connecting client from printing version tables: `compare_versions` logs one line instead."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VersionMismatchWarning)
        yield


def compare_versions(found: Mapping[str, Any]) -> str | None:
    """Return why a cluster cannot work with this process, or None; log harmless differences on one line.

    Parameters
    ----------
    found : Mapping
        Return value of `Client.get_versions`.

    Returns
    -------
    str or None
        The packages whose versions must match but do not; None if there are none.
    """
    here = found["client"]["packages"]
    elsewhere = [found["scheduler"], *found["workers"].values()]
    others = [each["packages"] for each in elsewhere if each]
    bad: list[str] = []
    harmless: list[str] = []
    for name, version in here.items():
        different = sorted({str(each.get(name)) for each in others} - {str(version)})
        if not different:
            continue
        line = f"{name} {_short(version)} here, {' and '.join(map(_short, different))} there"
        fatal = name in MUST_MATCH and any(
            _counted(name, each) != _counted(name, version) for each in different
        )
        (bad if fatal else harmless).append(line)
    if harmless:
        logger.info("the cluster runs slightly other versions, which is fine: %s", "; ".join(harmless))
    return "; ".join(bad) or None


def _short(version: object) -> str:
    """Return a version as people write it: Dask reports Python's as 3.11.7.final.0."""
    return str(version).removesuffix(".final.0")


def _counted(name: str, version: object) -> str:
    """Return the part of a version that must be the same on both sides."""
    return ".".join(str(version).split(".")[:2]) if name == "python" else str(version)

"""File-by-file reading of a Delta table's log, to find damaged files and the data files that it names.

deltalake reads a log completely or not at all, and misses some damage: it takes an empty log file for an empty
commit.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq

from infra.errors import ObjectNotFound
from infra.storage.location import Location, existing

LOG = "_delta_log"
FIRST_COMMIT = f"{0:020}.json"
LAST_CHECKPOINT = f"{LOG}/_last_checkpoint"
_COMMIT = re.compile(rf"{LOG}/(\d{{20}})\.json")
_CHECKPOINT = re.compile(rf"{LOG}/(\d{{20}})\.checkpoint\.parquet")
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError, TypeError)
"""Exceptions that reading a damaged file raises."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A damaged or missing file of a table."""

    key: str
    """Key of the file, relative to the table."""
    fault: str


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file as the log describes it."""

    size: int
    rows: int | None


@dataclass(slots=True)
class TableLog:
    """The readable part of a table's log."""

    live: dict[str, DataFile] = field(default_factory=dict)
    """Data files of the newest version by key."""
    removed: set[str] = field(default_factory=set)
    """Keys of data files of earlier versions, which stay for some days."""
    named_in_damage: set[str] = field(default_factory=set)
    """Keys of data files that can be recognised in damaged log files."""
    damages: list[Damage] = field(default_factory=list)
    last_version: int | None = None

    def apply(self, actions: Iterator[dict[str, Any]]) -> None:
        """Apply the actions of one commit or checkpoint."""
        for action in actions:
            if action.get("add"):
                key = unquote(action["add"]["path"])
                self.live[key] = DataFile(int(action["add"]["size"]), _rows(action["add"].get("stats")))
                self.removed.discard(key)
            if action.get("remove"):
                key = unquote(action["remove"]["path"])
                self.live.pop(key, None)
                self.removed.add(key)


def read_log(location: Location) -> TableLog:
    """Read the log of a table: the newest readable checkpoint, and each commit after it.

    Parameters
    ----------
    location : Location
        The table's folder.
    """
    sizes = {ref.key: ref.size_bytes for ref in existing(location)}
    log = TableLog()
    after = _apply_checkpoint(location, sizes, log)
    commits = {int(match[1]): key for key in sizes if (match := _COMMIT.fullmatch(key))}
    versions = [version for version in commits if version > after]
    for version in range(after + 1, max(versions, default=after) + 1):
        _apply_commit(location, version, sizes, log)
    if not commits and not log.live and any(is_data(key) for key in sizes):
        log.damages.append(Damage(LOG, "is missing, although there are data files"))
    log.last_version = max(versions, default=after) if commits or log.live else None
    return log


def data_damages(location: Location, log: TableLog, *, thorough: bool) -> list[Damage]:
    """Find data files of the newest version that are missing or of another size; if thorough, read each of them."""
    sizes = {ref.key: ref.size_bytes for ref in existing(location)}
    found = []
    for key, file in log.live.items():
        if key not in sizes:
            found.append(Damage(key, "is missing"))
        elif sizes[key] != file.size:
            found.append(Damage(key, f"has {sizes[key]:,} bytes instead of {file.size:,}"))
        elif thorough and read_data(location, key) is None:
            found.append(Damage(key, "cannot be read"))
    return found


def read_data(location: Location, key: str) -> pa.Table | None:
    """Read a whole data file; return None if it is damaged."""
    try:
        return pq.read_table(io.BytesIO(location.fetch(key)))
    except (*DAMAGE, ObjectNotFound):
        return None


def is_data(key: str) -> bool:
    """Return whether a key names a data file."""
    return key.endswith(".parquet") and not key.startswith(f"{LOG}/")


def _apply_checkpoint(location: Location, sizes: dict[str, int], log: TableLog) -> int:
    """Apply the newest readable checkpoint; return its version, or -1 if there is none."""
    checkpoints = {int(match[1]): key for key in sizes if (match := _CHECKPOINT.fullmatch(key))}
    _check_hint(location, sizes, checkpoints, log)
    for version in sorted(checkpoints, reverse=True):
        actions = _read_checkpoint(location, checkpoints[version])
        if actions is not None:
            log.apply(iter(actions))
            return version
        log.damages.append(Damage(checkpoints[version], "cannot be read"))
    return -1


def _check_hint(
    location: Location, sizes: dict[str, int], checkpoints: dict[int, str], log: TableLog
) -> None:
    """Check that the checkpoint named by the table's hint exists; a damaged hint is ignored."""
    if LAST_CHECKPOINT not in sizes:
        return
    try:
        version = int(json.loads(location.fetch(LAST_CHECKPOINT))["version"])
    except DAMAGE:
        return
    if version not in checkpoints:
        log.damages.append(Damage(f"{LOG}/{version:020d}.checkpoint.parquet", "is missing"))


def _read_checkpoint(location: Location, key: str) -> list[dict[str, Any]] | None:
    try:
        file = pq.ParquetFile(io.BytesIO(location.fetch(key)))
        names = [name for name in ("add", "remove") if name in file.schema_arrow.names]
        actions: list[dict[str, Any]] = file.read(columns=names).to_pylist()
    except DAMAGE:
        return None
    return actions


def _apply_commit(location: Location, version: int, sizes: dict[str, int], log: TableLog) -> None:
    key = f"{LOG}/{version:020d}.json"
    if key not in sizes:
        log.damages.append(Damage(key, "is missing"))
        return
    text = location.fetch(key).decode("utf-8", "replace")
    try:
        actions = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        log.damages.append(Damage(key, "is truncated or damaged"))
        log.named_in_damage.update(re.findall(r'"path":"([^"]+\.parquet)"', text))
        return
    if not actions:
        log.damages.append(Damage(key, "is empty"))
        return
    log.apply(iter(actions))


def _rows(stats: str | None) -> int | None:
    try:
        return int(json.loads(stats)["numRecords"]) if stats else None
    except DAMAGE:
        return None

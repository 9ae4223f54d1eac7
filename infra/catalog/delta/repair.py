"""Repair of a damaged table from every data file that can be read; `repair_table` is the entry point.

Rows of a table are never deleted, only replaced by a newer row of the same identity. The newest row per identity,
taken over all readable files, therefore restores the table, except for rows that only unreadable files held. The
damaged table is kept next to the rebuilt one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from infra.catalog.delta.damage import find_damages, repair_marker
from infra.catalog.delta.log import Damage, TableLog, data_damages, is_data, read_data, read_log
from infra.catalog.delta.schema import TableSpec, missing_columns, table_schema
from infra.catalog.delta.table import CatalogTable
from infra.errors import ObjectNotFound
from infra.storage.location import Location, existing, is_local, open_location

_FILE = "rank of the file"
REMOVED, LIVE, UNLOGGED = 0, 1, 2
"""Ranks of files by age: replaced by a compaction or a newer commit; in the newest version; of a damaged commit."""
_TRUE_WITHOUT_COMMIT = ("derained",)
"""Tables whose rows hold whether or not their commit landed; see `_rank`."""


@dataclass(frozen=True, slots=True)
class RepairedTable:
    """The outcome of repairing one table."""

    name: str
    damages: tuple[Damage, ...] = ()
    """Damaged files; empty if the table was whole and left alone."""
    kept: int = 0
    """Number of rows in the rebuilt table."""
    lost: int = 0
    """Number of rows that the log counts but no readable file holds."""
    kept_as: str = ""
    """URL of the damaged table."""


def repair_table(workspace: str, spec: TableSpec) -> RepairedTable:
    """Rebuild one table of a workspace if it is damaged.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`; no run may be working on it.
    spec : TableSpec
        The table to repair.

    Raises
    ------
    TransientError, AccessDenied
        Storage failed; the next call resumes the repair.
    """
    table = CatalogTable(workspace, spec)
    damages = find_damages(table.url)
    if not damages:
        return RepairedTable(spec.name)
    marker, key = repair_marker(table.url)
    try:
        kept_as = marker.fetch(key).decode()  # an interrupted repair moved the table there
    except ObjectNotFound:
        kept_as = f"{table.url}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        marker.put(key, kept_as.encode())
    is_rebuilt = _is_rebuilt(table.url, kept_as)
    if not is_rebuilt:
        _move(table.url, kept_as)
    location = open_location(kept_as)
    log = read_log(location)
    rows = _newest(_readable_rows(location, log, spec), spec)
    if rows.height and not is_rebuilt:
        table.create(rows.to_arrow().cast(table_schema(spec)))
    marker.delete(key)
    expected = sum(file.rows or 0 for file in log.live.values())
    return RepairedTable(spec.name, tuple(damages), rows.height, max(0, expected - rows.height), kept_as)


def _is_rebuilt(url: str, kept_as: str) -> bool:
    """Return whether an interrupted repair had already rebuilt the table, and not only begun to move it."""
    if not any(existing(open_location(kept_as))):
        return False
    location = open_location(url)
    log = read_log(location)
    is_whole = not log.damages and not data_damages(location, log, thorough=True)
    return log.last_version is not None and is_whole


def _readable_rows(location: Location, log: TableLog, spec: TableSpec) -> Iterator[pl.DataFrame]:
    """Yield the rows of each readable file, with the rank of the file."""
    schema = table_schema(spec)
    for key in sorted(ref.key for ref in existing(location) if is_data(ref.key)):
        rank = _rank(key, log, spec)
        data = None if rank is None else read_data(location, key)
        if data is None:
            continue
        for column in missing_columns(data.schema, schema):
            data = data.append_column(column, pa.nulls(data.num_rows, column.type))
        frame = pl.DataFrame(data.select(schema.names).cast(schema))
        yield frame.with_columns(pl.lit(rank, pl.Int8).alias(_FILE))


def _rank(key: str, log: TableLog, spec: TableSpec) -> int | None:
    """Return the rank of a file by age; None if no commit is known to have named it.

    Such a file may belong to a commit that never landed. Rows of `derained` hold nonetheless, because an output is
    written before its row and planning compares the two. Rows of other tables name objects that a sweep may have
    removed.
    """
    if key in log.live:
        return LIVE
    if key in log.removed:
        return REMOVED
    has_no_log = not log.live and not log.removed
    is_true = key in log.named_in_damage or has_no_log or spec.name in _TRUE_WITHOUT_COMMIT
    return UNLOGGED if is_true else None


def _newest(frames: Iterator[pl.DataFrame], spec: TableSpec) -> pl.DataFrame:
    """Keep the newest row of each identity."""
    schema = table_schema(spec)
    order = [_FILE] if spec.version_column is None else [spec.version_column, _FILE]
    whole = pl.concat(
        [pl.DataFrame(schema.empty_table()).with_columns(pl.lit(0, pl.Int8).alias(_FILE)), *frames]
    )
    rows = whole.sort(order, nulls_last=False, maintain_order=True)
    rows = rows.unique(spec.identity, keep="last", maintain_order=True).drop(_FILE)
    if spec.version_column is None:
        return rows
    # The rebuilt table numbers its versions from the start: older rows are placed below them, in the same order.
    version = pl.col(spec.version_column)
    return rows.with_columns(version - version.max())


def _move(url: str, to: str) -> None:
    """Move a table aside; the next call resumes an interrupted move."""
    if is_local(url):
        if os.path.isdir(url) and not os.path.exists(to):
            os.rename(url, to)
        return
    source, target = open_location(url), open_location(to)
    refs = list(existing(source))
    for ref in refs:
        target.put(ref.key, source.fetch(ref.key))
    for ref in refs:
        source.delete(ref.key)

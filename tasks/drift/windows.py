"""The two samples of a drift test (`split_windows`): a table's newest runs and earlier ones, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import pyarrow as pa

Scan = Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
"""Streams the rows of a table with the requested columns."""

REFERENCE_WINDOWS = 4
"""Number of earlier rows per newest row."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Two samples of rows: of earlier runs, and of the newest runs."""

    reference: pl.DataFrame
    newest: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Rows:
    """A table: its reader, its time column, the identity of its rows, and the requested columns."""

    scan: Scan
    time: str
    identity: tuple[str, ...]
    columns: tuple[str, ...]


def split_windows(rows: Rows, window: int, trained_at: datetime | None) -> Windows | None:
    """Return the newest runs, as many as contain `window` rows, and the earlier runs that the last training used.

    Runs are taken whole, because a run lists its images by name, so its first and last images differ without any
    drift. Large windows are sampled reproducibly.

    Parameters
    ----------
    rows : Rows
        The table; it has a column `run_id`.
    window : int
        Minimum number of rows on either side, and maximum number of newest rows.
    trained_at : datetime, optional
        Time of the last training; if unset, or with fewer than `window` rows before it, all earlier runs count.

    Returns
    -------
    Windows or None
        None if there are not enough rows yet.
    """
    runs = _runs(rows)
    if runs.is_empty():
        return None
    newest = runs.filter(pl.col("rows").cum_sum() - pl.col("rows") < window)
    earlier = runs.tail(runs.height - newest.height)
    seen = earlier.filter(pl.col("last") <= trained_at) if trained_at else earlier
    reference = seen if seen["rows"].sum() >= window else earlier
    if min(newest["rows"].sum(), reference["rows"].sum()) < window:
        return None
    return Windows(
        _sample(rows, set(reference["run_id"]), REFERENCE_WINDOWS * window),
        _sample(rows, set(newest["run_id"]), window),
    )


def _runs(rows: Rows) -> pl.DataFrame:
    """Count the rows of each run, newest run first."""
    parts = [
        pl.DataFrame(batch)
        .group_by("run_id")
        .agg(pl.len().alias("rows"), pl.col(rows.time).max().alias("last"))
        for batch in rows.scan(["run_id", rows.time])
    ]
    if not parts:
        return pl.DataFrame(schema={"run_id": pl.String, "rows": pl.UInt32, "last": pl.Datetime})
    counted = pl.concat(parts).group_by("run_id").agg(pl.col("rows").sum(), pl.col("last").max())
    return counted.sort("last", "run_id", descending=True)


def _sample(rows: Rows, run_ids: Collection[str], most: int) -> pl.DataFrame:
    """Return the rows of these runs whose identities have the lowest hashes."""
    kept: pl.DataFrame | None = None
    for batch in rows.scan(list(dict.fromkeys(("run_id", *rows.identity, *rows.columns)))):
        frame = pl.DataFrame(batch).filter(pl.col("run_id").is_in(list(run_ids)))
        hashed = frame.with_columns(pl.concat_str(rows.identity, separator="\n").hash(0).alias("draw"))
        joined = hashed if kept is None else pl.concat([kept, hashed])
        kept = joined.sort("draw", *rows.identity).head(most)
    assert kept is not None
    return kept.drop("draw")

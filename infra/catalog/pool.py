"""The pool: unlabelled training crops. Pixels in Zarr groups, what is known of them in a Delta table.

`<workspace>/catalog/pool` has a row a crop, and one for each image that was rejected (`PoolRecord`). The pixels
of a crop are row `zarr_row` of the array `rainy` in the group `<workspace>/<zarr_group>`; the table alone tells
which rows of a group count: a group, a shard or a row that it does not name is garbage.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infra.catalog.delta_table import CatalogTable, all_of, quoted
from infra.catalog.pool_zarr import CROP_SIDE, by_group, read_crops
from infra.catalog.schema import TableSpec
from infra.records import ACCEPTED, PoolRecord

Split = Literal["train", "validation"]
Crops = npt.NDArray[np.uint8]
"""Crops, (N, 512, 512, 3) RGB."""

TABLE = TableSpec(
    "pool",
    PoolRecord,
    identity=("crop_id",),
    indexed=("crop_id", "source", "key", "status", "ingested_at"),
    keeps_versions=True,
)


class Pool:
    """The pool of one workspace; holds no state, so every call sees the newest version.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.

    Raises
    ------
    WorkspaceRefused
        The path holds something like `%20`.
    """

    def __init__(self, workspace: str) -> None:
        self._table = CatalogTable(workspace, TABLE)
        self._workspace = workspace.rstrip("/")
        self.url = self._table.url

    def crops(self, split: Split | None = None, *, version: int | None = None) -> pl.DataFrame:
        """Read the rows of all accepted crops, in the order of their ids.

        Parameters
        ----------
        split : str, optional
            `train` or `validation`; unset: both.
        version : int, optional
            Of the table, as `version` gave it then; unset: the newest.

        Returns
        -------
        polars.DataFrame
            The columns are the fields of `PoolRecord`; none is null but `reason` and `duplicate_of`. No rows
            where nothing was ingested yet.

        Raises
        ------
        CatalogError
            The table could not be read, or has no such version.
        """
        of_split = None if split is None else f"split = {quoted(split)}"
        return self._table.frame(where=all_of(ACCEPTED, of_split), version=version).sort("crop_id")

    def near_duplicates(self, image_ids: Sequence[str]) -> pl.DataFrame:
        """Read the rows of images that were left out as duplicates of these: frames of a fixed camera.

        They have no pixels in the pool: `source`, `key` and `etag` tell where they are.
        """
        duplicates = self.frame(where="duplicate_of IS NOT NULL")
        return duplicates.filter(pl.col("duplicate_of").is_in(image_ids)).sort("source", "key", "etag")

    def pixels(self, rows: pl.DataFrame) -> Crops:
        """Read the pixels of crops, in the order of the rows; only these are fetched.

        768 KiB a crop: ask for as many as may be in memory.

        Parameters
        ----------
        rows : polars.DataFrame
            Rows of `crops`; `zarr_group` and `zarr_row` are looked at.

        Returns
        -------
        ndarray
            (len(rows), 512, 512, 3) uint8. Only the first `height` rows and `width` columns of a crop are
            pixels of the image, the rest is their reflection.

        Raises
        ------
        TransientError
            Storage failed.
        ObjectNotFound
            A group is gone.
        """
        pixels = np.empty((rows.height, CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for group, places, wanted, position in by_group(rows):
            pixels[places] = read_crops(self._workspace, group, wanted)[position]
        return pixels

    def count(self, since: datetime | None = None) -> int:
        """Count the crops, or those that came in after a moment."""
        moment = None if since is None else f"ingested_at > TIMESTAMP '{since.astimezone(UTC).isoformat()}'"
        return sum(batch.num_rows for batch in self.scan(["status"], all_of(ACCEPTED, moment)))

    def splits(self) -> set[str]:
        """Tell which splits have crops."""
        return {split for batch in self.scan(["split"], ACCEPTED) for split in batch["split"].to_pylist()}

    def version(self) -> int | None:
        """Return the table's version, to come back to it; None where nothing was ingested yet."""
        return self._table.version()

    def scan(
        self, columns: Sequence[str] | None = None, where: str | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows, those of rejected images too: see `CatalogTable.scan`."""
        return self._table.scan(columns, where)

    def frame(self, columns: Sequence[str] | None = None, where: str | None = None) -> pl.DataFrame:
        """Read at once the rows that `scan` streams: they must have room in memory."""
        return self._table.frame(columns, where)

    def commit(self, records: Sequence[PoolRecord], *, replace: bool) -> None:
        """Add rows as one atomic commit, when their pixels are there: see `CatalogTable.commit`."""
        self._table.commit(records, replace=replace)

    def maintain(self) -> bool:
        """Compact when it pays, which makes another version; earlier ones stay: see `CatalogTable.maintain`."""
        return self._table.maintain()

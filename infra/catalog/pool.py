"""`Pool`, the unlabelled training crops: pixels in Zarr groups, metadata in a Delta table.

`<workspace>/catalog/pool` has one row per crop and one per rejected image (`PoolRecord`). The pixels of a crop are
row `zarr_row` of the array `rainy` in the group `<workspace>/<zarr_group>`. Only the table says which rows of a
group count: a group, shard or row that it does not name is garbage.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.delta.schema import TableSpec
from infra.catalog.pool_zarr import CROP_SIDE, by_group, read_crops
from infra.catalog.workspace_table import WorkspaceTable
from infra.records import ACCEPTED, PoolRecord

Split = Literal["train", "validation"]
Crops = npt.NDArray[np.uint8]
"""Crops, (N, 512, 512, 3) uint8 RGB."""

TABLE = TableSpec(
    "pool",
    PoolRecord,
    identity=("crop_id",),
    indexed=("crop_id", "source", "key", "status", "ingested_at"),
    keeps_versions=True,
)


class Pool(WorkspaceTable):
    """The pool of one workspace; see `WorkspaceTable`."""

    spec = TABLE

    def crops(self, split: Split | None = None, *, version: int | None = None) -> pl.DataFrame:
        """Read the rows of all accepted crops, in the order of their ids.

        Parameters
        ----------
        split : str, optional
            `train` or `validation`. Default: both.
        version : int, optional
            Version of the table, as returned by `version`. Default: the newest.

        Returns
        -------
        polars.DataFrame
            Its columns are the fields of `PoolRecord`; only `reason` and `duplicate_of` may be null. It has no rows
            if nothing has been ingested yet.

        Raises
        ------
        CatalogError
            The table could not be read, or has no such version.
        """
        of_split = None if split is None else f"split = {quoted(split)}"
        return self.frame(where=all_of(ACCEPTED, of_split), version=version).sort("crop_id")

    def near_duplicates(self, image_ids: Sequence[str]) -> pl.DataFrame:
        """Read the rows of images that were left out as near duplicates of these, such as frames of a fixed camera.

        They have no pixels in the pool: `source`, `key` and `etag` say where the images are.
        """
        duplicates = self.frame(where="duplicate_of IS NOT NULL")
        return duplicates.filter(pl.col("duplicate_of").is_in(image_ids)).sort("source", "key", "etag")

    def pixels(self, rows: pl.DataFrame) -> Crops:
        """Read the pixels of crops in the order of the rows, and fetch nothing else.

        A crop takes 768 KiB: do not ask for more than fit in memory.

        Parameters
        ----------
        rows : polars.DataFrame
            Rows of `crops`; only `zarr_group` and `zarr_row` are used.

        Returns
        -------
        ndarray
            (len(rows), 512, 512, 3) uint8 RGB. Only the first `height` rows and `width` columns of a crop are
            pixels of the image; the rest is their reflection.

        Raises
        ------
        TransientError
            Storage failed.
        ObjectNotFound
            A Zarr group is missing.
        """
        pixels = np.empty((rows.height, CROP_SIDE, CROP_SIDE, 3), np.uint8)
        for group, indices, wanted, position in by_group(rows):
            pixels[indices] = read_crops(self._workspace, group, wanted)[position]
        return pixels

    def count(self, since: datetime | None = None, split: Split | None = None) -> int:
        """Count the crops, or only those ingested after `since`, or of one split."""
        moment = None if since is None else f"ingested_at > TIMESTAMP '{since.astimezone(UTC).isoformat()}'"
        of_split = None if split is None else f"split = {quoted(split)}"
        return sum(batch.num_rows for batch in self.scan(["status"], all_of(ACCEPTED, moment, of_split)))

    def splits(self) -> set[str]:
        """Return the splits that have crops."""
        return {split for batch in self.scan(["split"], ACCEPTED) for split in batch["split"].to_pylist()}

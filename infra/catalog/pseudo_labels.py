"""The ledger of pseudo-labels: every decision on a crop of the pool. One Delta table, `catalog/pseudo_labels`.

Rows are only ever added, one a run and crop, after the pixels of what was accepted are in Zarr
(`infra.catalog.pseudo_label_zarr`). Which pseudo-labels are accepted follows from the rows: of each crop the last
one that was accepted, unless a reviewer rejected it since. So a version of the table is a training set that can
be rebuilt; all versions stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import polars as pl

from infra.catalog.delta_table import CatalogTable
from infra.catalog.pool_zarr import CROP_SIDE, by_group
from infra.catalog.pseudo_label_zarr import PseudoPixels, read_labels
from infra.catalog.schema import VERSION, TableSpec
from infra.records import PseudoLabelRecord

TABLE = TableSpec(
    "pseudo_labels",
    PseudoLabelRecord,
    identity=("run_id", "crop_id"),
    indexed=("run_id", "crop_id", "decision", "decided_at"),
    keeps_versions=True,
    version_column=VERSION,
)


class PseudoLabels:
    """The `pseudo_labels` table of one workspace; holds no state, so every call sees the newest version.

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

    def rows(self, *, version: int | None = None) -> pl.DataFrame:
        """Read every decision in the order of their commits; the columns are the fields of `PseudoLabelRecord`.

        Raises
        ------
        CatalogError
            The table could not be read, or has no such version.
        """
        columns = [field.name for field in fields(PseudoLabelRecord)]
        rows = self._table.frame([*columns, VERSION], version=version)
        return rows.sort(VERSION, "decided_at", "crop_id").select(columns)

    def accepted(self, *, version: int | None = None) -> pl.DataFrame:
        """Read the rows of the pseudo-labels that are accepted, one a crop, in the order of their ids.

        Parameters
        ----------
        version : int, optional
            Of the table, as `version` gave it then: the set of that time. Unset: the newest.
        """
        return standing(self.rows(version=version))

    def pixels(self, rows: pl.DataFrame) -> PseudoPixels:
        """Read pseudo-labels and confidence maps, in the order of the rows; only these are fetched.

        1 MiB each: ask for as many as may be in memory. Beyond the crop's valid size (`Pool.crops`) the
        confidence is 0.

        Parameters
        ----------
        rows : polars.DataFrame
            Rows of `accepted`.

        Raises
        ------
        TransientError
            Storage failed.
        ObjectNotFound
            A group is gone.
        """
        label = np.empty((rows.height, CROP_SIDE, CROP_SIDE, 3), np.uint8)
        confidence = np.empty((rows.height, CROP_SIDE, CROP_SIDE), np.uint8)
        for group, places, wanted, position in by_group(rows):
            found = read_labels(self._workspace, group, wanted)
            label[places], confidence[places] = found.pseudo_label[position], found.confidence[position]
        return PseudoPixels(label, confidence)

    def version(self) -> int | None:
        """Return the table's version, to come back to it; None where nothing was decided yet."""
        return self._table.version()

    def commit(self, records: Sequence[PseudoLabelRecord]) -> None:
        """Add rows as one atomic commit, when their pixels are there; a row of the same run and crop stays.

        Raises
        ------
        CatalogError
            Every attempt failed.
        """
        self._table.commit(records, replace=False)

    def maintain(self) -> bool:
        """Compact when it pays, which makes another version; earlier ones stay: see `CatalogTable.maintain`."""
        return self._table.maintain()


def standing(rows: pl.DataFrame) -> pl.DataFrame:
    """Choose the accepted pseudo-labels among all decisions, given oldest first.

    Of each crop the last row that was accepted, if no reviewer rejected it afterwards; rules never take back.
    """
    deciding = (pl.col("decision") == "accepted") | (
        (pl.col("decision") == "rejected") & (pl.col("reviewer_decision") == "reject")
    )
    last = rows.filter(deciding).unique("crop_id", keep="last", maintain_order=True)
    return last.filter(pl.col("decision") == "accepted").sort("crop_id")

"""The ledger of pseudo-labels (`PseudoLabels`), a Delta table with every decision on a crop of the pool.

The table is `<workspace>/catalog/pseudo_labels`. Rows are only ever added, one per run and crop, after the pixels
of accepted pseudo-labels are in Zarr (`infra.catalog.pseudo_label_zarr`). The rows determine which pseudo-labels
are accepted: the last accepted one of each crop, unless a reviewer has rejected it since. A version of the table
is therefore a training set that can be rebuilt; all versions are kept.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import polars as pl

from infra.catalog.delta.schema import VERSION, TableSpec
from infra.catalog.pool_zarr import CROP_SIDE, by_group
from infra.catalog.pseudo_label_zarr import PseudoPixels, read_labels
from infra.catalog.workspace_table import WorkspaceTable
from infra.records import PseudoLabelRecord

TABLE = TableSpec(
    "pseudo_labels",
    PseudoLabelRecord,
    identity=("run_id", "crop_id"),
    indexed=("run_id", "crop_id", "decision", "decided_at"),
    keeps_versions=True,
    version_column=VERSION,
)


class PseudoLabels(WorkspaceTable):
    """The `pseudo_labels` table of one workspace; see `WorkspaceTable`."""

    spec = TABLE

    def rows(self, *, version: int | None = None) -> pl.DataFrame:
        """Read all decisions in commit order; the columns are the fields of `PseudoLabelRecord`.

        Raises
        ------
        CatalogError
            The table could not be read, or has no such version.
        """
        columns = [field.name for field in fields(PseudoLabelRecord)]
        rows = self.frame([*columns, VERSION], version=version)
        return rows.sort(VERSION, "decided_at", "crop_id").select(columns)

    def accepted(self, *, version: int | None = None) -> pl.DataFrame:
        """Read the rows of the accepted pseudo-labels, one per crop, in the order of their ids.

        Parameters
        ----------
        version : int, optional
            Version of the table, as returned by `version`. Default: the newest.
        """
        return accepted_rows(self.rows(version=version))

    def pixels(self, rows: pl.DataFrame) -> PseudoPixels:
        """Read pseudo-labels and confidence maps in the order of the rows, and fetch nothing else.

        Each takes 1 MiB: do not ask for more than fit in memory. Outside the valid size of a crop (`Pool.crops`)
        the confidence is 0.

        Parameters
        ----------
        rows : polars.DataFrame
            Rows of `accepted`.

        Raises
        ------
        TransientError
            Storage failed.
        ObjectNotFound
            A Zarr group is missing.
        """
        label = np.empty((rows.height, CROP_SIDE, CROP_SIDE, 3), np.uint8)
        confidence = np.empty((rows.height, CROP_SIDE, CROP_SIDE), np.uint8)
        for group, indices, wanted, position in by_group(rows):
            found = read_labels(self._workspace, group, wanted)
            label[indices], confidence[indices] = found.pseudo_label[position], found.confidence[position]
        return PseudoPixels(label, confidence)


def accepted_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """Select the accepted pseudo-labels from all decisions, which must be sorted oldest first.

    They are the last accepted row of each crop, unless a reviewer rejected it afterwards; rules never revoke one.
    """
    deciding = (pl.col("decision") == "accepted") | (
        (pl.col("decision") == "rejected") & (pl.col("reviewer_decision") == "reject")
    )
    last = rows.filter(deciding).unique("crop_id", keep="last", maintain_order=True)
    return last.filter(pl.col("decision") == "accepted").sort("crop_id")

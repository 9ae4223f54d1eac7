"""The catalog: which images are done. One Delta table, `<workspace>/catalog/derained`.

Only the coordinator writes. A commit is a merge on the identity of an output (source, key, etag, destination,
export), so that no row can double, however often and from however many coordinators it is sent. Readers
(Spark, DuckDB, Polars) see whole commits and may go on with an older version while a newer one is written.

Removed files stay readable for seven days (`RETENTION` of `infra.catalog.delta_table`), so versions of the last
week can be travelled back to; the log of changes is kept for thirty days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa

from infra.catalog import rows
from infra.catalog.delta_table import CatalogTable, all_of, quoted
from infra.catalog.schema import VERSION, TableSpec
from infra.records import DERAINED, REJECTED, DerainRecord, Scope

_IDENTITY = ("source", "key", "etag", "destination", "export")
TABLE = TableSpec(
    "derained",
    DerainRecord,
    _IDENTITY,
    indexed=(*_IDENTITY, "status", "derained_at"),
    version_column=VERSION,
)


class Catalog:
    """The `derained` table of one workspace; holds no state, so every call sees the newest version.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.

    Raises
    ------
    WorkspaceRefused
        The path holds something like `%20`, which deltalake decodes when reading and not when writing.
    """

    def __init__(self, workspace: str) -> None:
        self._table = CatalogTable(workspace, TABLE)
        self.url = self._table.url

    def commit(self, records: Sequence[DerainRecord], *, replace: bool) -> None:
        """Add the rows of a wave; `replace` where outputs were made again: see `CatalogTable.commit`."""
        self._table.commit(records, replace=replace)

    def scan(
        self,
        scope: Scope | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows, a bounded number at a time, in no particular order.

        Parameters
        ----------
        scope : Scope | None
            Rows of this source, destination and export alone; None: all.
        columns : Sequence[str] | None
            The columns wanted: only these are read; None: all.
        where : str | None
            A further condition in SQL, applied while reading.
        """
        return self._table.scan(columns, all_of(_in_scope(scope), where))

    def frame(
        self,
        scope: Scope | None = None,
        columns: Sequence[str] | None = None,
        where: str | None = None,
    ) -> pl.DataFrame:
        """Read at once the rows that `scan` streams: they must have room in memory."""
        return self._table.frame(columns, all_of(_in_scope(scope), where))

    def worst(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the derained rows with the largest rain energy, most rain first."""
        return rows.rainiest(self.scan(scope, where=all_of(DERAINED, _of_run(run_id))), limit)

    def sample(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give derained rows at random, the same ones each time: those whose keys hash lowest."""
        return rows.lowest_hashes(self.scan(scope, where=all_of(DERAINED, _of_run(run_id))), limit)

    def of_run(self, scope: Scope, limit: int, run_id: str) -> list[DerainRecord]:
        """Give the rows that a run wrote, those with the largest rain energy first and the rejected ones last."""
        return rows.rainiest(self.scan(scope, where=_of_run(run_id)), limit)

    def rejected(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the first rejected rows by key, with their reasons."""
        return rows.first_keys(self.scan(scope, where=all_of(REJECTED, _of_run(run_id))), limit)

    def maintain(self) -> bool:
        """Compact and vacuum when it pays: see `CatalogTable.maintain`."""
        return self._table.maintain()


def _in_scope(scope: Scope | None) -> str | None:
    if scope is None:
        return None
    parts = (("source", scope.source), ("destination", scope.destination), ("export", scope.export))
    return all_of(*(f"{name} = {quoted(value)}" for name, value in parts))


def _of_run(run_id: str | None) -> str | None:
    return None if run_id is None else f"run_id = {quoted(run_id)}"

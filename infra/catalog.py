"""The catalog: which images are done. One Delta table, `<workspace>/catalog/derained`.

Only the coordinator writes. A commit is a merge on the identity of an output (source, key, etag, destination,
export), so that no row can double, however often and from however many coordinators it is sent. Readers
(Spark, DuckDB, Polars) see whole commits and may go on with an older version while a newer one is written.

Removed files stay readable for seven days (`RETENTION` of `infra.delta`), so versions of the last week can be
travelled back to; the log of changes is kept for thirty days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from infra import catalog_rows
from infra.catalog_schema import COLUMNS, IDENTITY, record_schema, records_table
from infra.delta import CatalogTable, all_of, quoted
from infra.records import DerainRecord, Scope

_DERAINED = "status = 'derained'"


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
        indexed = (*IDENTITY, "status", "derained_at")
        self._derained = CatalogTable(workspace, "derained", record_schema(), indexed)
        self.url = self._derained.url

    def commit(self, records: Sequence[DerainRecord], *, replace: bool) -> None:
        """Add records as one atomic commit; a lost race is run again on the newer version.

        Parameters
        ----------
        records : Sequence[DerainRecord]
            The rows of a wave. An empty sequence commits nothing.
        replace : bool
            False: an identity that has a row keeps it. True: its row is replaced (an output made again).

        Raises
        ------
        CatalogFault
            Every attempt failed.
        CatalogSchemaMismatch
            The workspace holds a table of another schema.
        """
        if records:
            rows = records_table(records)
            merge = self._derained.merge
            self._derained.persistently("commit", lambda: merge(rows, IDENTITY, replace=replace))

    def scan(
        self,
        scope: Scope | None = None,
        columns: Sequence[str] = COLUMNS,
        where: str | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows, a bounded number at a time, in no particular order.

        Parameters
        ----------
        scope : Scope | None
            Rows of this source, destination and export alone; None: all.
        columns : Sequence[str]
            The columns wanted: only these are read.
        where : str | None
            A further condition in SQL, applied while reading.
        """
        yield from self._derained.scan(columns, all_of(_in_scope(scope), where))

    def table(self, scope: Scope | None = None) -> pa.Table:
        """Read all rows at once: for small catalogs and for tests."""
        return pa.Table.from_batches(self.scan(scope), schema=record_schema())

    def worst(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the derained rows with the largest rain energy, most rain first."""
        return catalog_rows.rainiest(self.scan(scope, where=all_of(_DERAINED, _of_run(run_id))), limit)

    def sample(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give derained rows at random, the same ones each time: those whose keys hash lowest."""
        return catalog_rows.lowest_hashes(self.scan(scope, where=all_of(_DERAINED, _of_run(run_id))), limit)

    def rejected(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the first rejected rows by key, with their reasons."""
        rejected = all_of("status = 'rejected'", _of_run(run_id))
        return catalog_rows.first_keys(self.scan(scope, where=rejected), limit)

    def maintain(self) -> bool:
        """Compact and vacuum when it pays: see `CatalogTable.maintain`."""
        return self._derained.maintain()


def _in_scope(scope: Scope | None) -> str | None:
    if scope is None:
        return None
    parts = (("source", scope.source), ("destination", scope.destination), ("export", scope.export))
    return all_of(*(f"{name} = {quoted(value)}" for name, value in parts))


def _of_run(run_id: str | None) -> str | None:
    return None if run_id is None else f"run_id = {quoted(run_id)}"

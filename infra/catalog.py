"""The catalog: which images are done. One Delta table, `<workspace>/catalog/derained`.

Only the coordinator writes. A commit is a merge on the identity of an output (source, key, etag, destination,
export), so that no row can double, however often and from however many coordinators it is sent. Readers
(Spark, DuckDB, Polars) see whole commits and may go on with an older version while a newer one is written.

Removed files stay readable for seven days (`RETENTION` of `infra.delta`), so versions of the last week can be
travelled back to; the log of changes is kept for thirty days.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from infra import catalog_rows
from infra.catalog_schema import COLUMNS, IDENTITY, record_schema, records_table
from infra.delta import HEALS, WRITER, CatalogTable, all_of, once, one_line, quoted
from infra.records import DerainRecord, Scope

logger = logging.getLogger(__name__)

COMPACT_AT = 64
"""So many small files make compaction pay; each commit adds one."""
FILE_BYTES = 16 * 1024 * 1024
"""What compaction aims at: about 250,000 rows, so that making an output again rewrites little."""
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
        """Compact and vacuum once many small files have gathered; cheap to call after every commit.

        No row is lost, and readers are undisturbed: replaced files stay for seven days. A race lost to a commit
        leaves the table as it is, for the next call.

        Returns
        -------
        bool
            Whether anything was compacted.
        """
        try:
            table = self._derained.open()
            if table is None or _small_files(table) < COMPACT_AT:
                return False
            table.optimize.compact(
                target_size=FILE_BYTES,
                max_concurrent_tasks=1,
                writer_properties=WRITER,
                commit_properties=once(),
            )
            table.vacuum(dry_run=False)
        except HEALS as error:
            logger.warning("catalog maintenance put off: %s", one_line(error))
            return False
        return True


def _in_scope(scope: Scope | None) -> str | None:
    if scope is None:
        return None
    parts = (("source", scope.source), ("destination", scope.destination), ("export", scope.export))
    return all_of(*(f"{name} = {quoted(value)}" for name, value in parts))


def _of_run(run_id: str | None) -> str | None:
    return None if run_id is None else f"run_id = {quoted(run_id)}"


def _small_files(table: DeltaTable) -> int:
    sizes = pa.table(table.get_add_actions(flatten=True)).column("size_bytes")
    return int(pc.sum(pc.less(sizes, FILE_BYTES // 2)).as_py() or 0)

"""`CatalogTable`, a Delta table of the catalog, opened per call; lost races and transient errors are retried."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow as pa
from deltalake import DeltaTable, Schema, write_deltalake
from deltalake.exceptions import TableNotFoundError

from infra.catalog.delta.attempts import READ_ATTEMPTS, TRANSIENT, CatalogError, persistently
from infra.catalog.delta.compaction import WRITER, compact, no_rebase
from infra.catalog.delta.damage import (
    CatalogDamaged,
    refuse_damaged,
    refuse_empty_log_files,
    refuse_table_without_log,
)
from infra.catalog.delta.durability import sync_version
from infra.catalog.delta.options import configuration, storage_options
from infra.catalog.delta.schema import (
    TableSpec,
    check_schema,
    missing_columns,
    record_schema,
    records_table,
    table_schema,
)
from infra.errors import UserError, one_line

logger = logging.getLogger(__name__)

_PERCENT_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")


class WorkspaceRefused(UserError, ValueError):
    """A Delta table cannot be kept under this path."""


class CatalogTable:
    """One table below `<workspace>/catalog`; it holds no state, so every call sees the newest version.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.
    spec : TableSpec
        The table to open.

    Raises
    ------
    WorkspaceRefused
        The path holds something like `%20`, which deltalake decodes when reading and not when writing.
    """

    def __init__(self, workspace: str, spec: TableSpec) -> None:
        if _PERCENT_ESCAPE.search(workspace):
            raise WorkspaceRefused(
                f"workspace {workspace} has a percent escape in its path: choose another name"
            )
        self.url = f"{workspace.rstrip('/')}/catalog/{spec.name}"
        self._spec = spec
        self._schema = record_schema(spec.kind)
        self._stored = table_schema(spec)

    def scan(
        self, columns: Sequence[str] | None = None, where: str | None = None, version: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Stream rows in batches of bounded size, in no particular order.

        Parameters
        ----------
        columns : Sequence[str], optional
            Columns to read. Default: the fields of the record.
        where : str, optional
            SQL condition, applied while reading.
        version : int, optional
            Version of the table. Default: the newest.

        Raises
        ------
        CatalogError
            The table could not be read, or has no such version.
        CatalogDamaged
            A file of the table is damaged.
        """
        table = persistently(self.url, "opening", lambda: self._open(version), READ_ATTEMPTS)
        if table is None:
            return
        schema = self._schema_of(columns)
        absent = {column.name for column in missing_columns(_schema_in(table), schema)}
        present = pa.schema([column for column in schema if column.name not in absent])
        try:
            stream = table.scan(columns=present.names, predicate=where)
            # The engine returns string views, which few readers support.
            for batch in pa.RecordBatchReader.from_stream(stream).cast(present):
                yield _with_nulls(batch, schema) if absent else batch
        except (*TRANSIENT, pa.ArrowException) as error:
            refuse_damaged(self.url)
            raise CatalogError(f"catalog {self.url} could not be read: {one_line(error)}") from error

    def frame(
        self, columns: Sequence[str] | None = None, where: str | None = None, version: int | None = None
    ) -> pl.DataFrame:
        """Read the rows that `scan` streams into one data frame; an empty one has the column types too."""
        batches = self.scan(columns, where, version)
        return pl.DataFrame(pa.Table.from_batches(batches, schema=self._schema_of(columns)))

    def version(self) -> int | None:
        """Return the number of the newest version, for later time travel; None if nothing has been committed yet.

        Raises
        ------
        CatalogError
            The table could not be read.
        """
        table = persistently(self.url, "opening", self._open, READ_ATTEMPTS)
        return None if table is None else int(table.version())

    def approximate_rows(self) -> int:
        """Return the number of rows by the statistics of the data files, which a file may lack.

        Raises
        ------
        CatalogError
            The table could not be read.
        """
        table = persistently(self.url, "opening", self._open, READ_ATTEMPTS)
        return 0 if table is None else int(table.count())

    def commit(self, records: Sequence[object], *, replace: bool) -> None:
        """Add records as one atomic commit; after a lost race, retry on the newer version.

        Parameters
        ----------
        records : Sequence of the table's records
            An empty sequence commits nothing.
        replace : bool
            Whether records replace existing rows of the same identity; if not, the existing rows stay.

        Raises
        ------
        CatalogError
            All attempts failed.
        CatalogDamaged
            A file of the table is damaged.
        CatalogSchemaMismatch
            The workspace holds a table with another schema.
        """
        if records:
            rows = records_table(records, self._spec)
            persistently(self.url, "commit", lambda: self._merge(rows, replace=replace))

    def create(self, rows: pa.Table) -> None:
        """Create the table, with `rows` as its only commit; their version column is left unchanged.

        Raises
        ------
        CatalogError
            The table exists already, or could not be written.
        """
        try:
            write_deltalake(
                self.url,
                rows,
                mode="error",
                name=self._spec.name,
                configuration=configuration(self._spec),
                storage_options=storage_options(self.url),
                writer_properties=WRITER,
            )
        except TRANSIENT as error:
            raise CatalogError(f"catalog {self.url} could not be created: {one_line(error)}") from error
        sync_version(self.url, 0)

    def maintain(self) -> bool:
        """Compact once many small files have accumulated, and vacuum; cheap enough to call after every commit.

        No row is lost, and readers are not disturbed: replaced files, and with them earlier versions, stay for
        seven days, or for ever if the table keeps its versions. A race lost to a commit leaves the table unchanged
        until the next call.

        Returns
        -------
        bool
            Whether anything was compacted.
        """
        try:
            table = self._open()
            if table is None or not compact(table):
                return False
            sync_version(self.url, table.version())
            if not self._spec.keeps_versions:
                table.vacuum(dry_run=False)
        except (*TRANSIENT, CatalogDamaged) as error:
            logger.warning("maintenance of catalog %s put off: %s", self._spec.name, one_line(error))
            return False
        return True

    def forget_versions(self, days: float) -> int:
        """Remove files of versions that were replaced more than this many days ago; return their number.

        All rows of the newest version stay.

        Raises
        ------
        CatalogError
            The table could not be read or written.
        """
        try:
            table = self._open()
            if table is None:
                return 0
            removed = table.vacuum(round(24 * days), dry_run=False, enforce_retention_duration=False)
        except TRANSIENT as error:
            raise CatalogError(f"catalog {self.url}: earlier versions stay: {one_line(error)}") from error
        return len(removed)

    def _schema_of(self, columns: Sequence[str] | None) -> pa.Schema:
        return self._schema if columns is None else pa.schema([self._stored.field(name) for name in columns])

    def _open(self, version: int | None = None) -> DeltaTable | None:
        """Open the newest version or an earlier one; return None if nothing has been committed yet."""
        # is_deltatable is not called first: it blocks all threads of the process, the lease's too, while it waits.
        try:
            table = DeltaTable(self.url, version=version, storage_options=storage_options(self.url))
        except TableNotFoundError:
            refuse_table_without_log(self.url)
            return None
        refuse_empty_log_files(self.url)
        check_schema(self.url, _schema_in(table), self._stored)
        return table

    def _merge(self, rows: pa.Table, *, replace: bool) -> None:
        """Insert rows as one commit, without retrying lost races."""
        table = self._with_all_columns(self._open() or self._create_empty())
        if self._spec.version_column is not None:  # never rebased, so a commit that lands has this version
            version = pa.array([table.version() + 1] * rows.num_rows, pa.int64())
            rows = rows.append_column(self._stored.field(self._spec.version_column), version)
        # Not streamed: the merge then knows the smallest and largest key and skips files outside that range.
        merge = table.merge(
            rows,
            predicate=" AND ".join(f"target.{name} = source.{name}" for name in self._spec.identity),
            source_alias="source",
            target_alias="target",
            streamed_exec=False,
            writer_properties=WRITER,
            commit_properties=no_rebase(),
        )
        if replace:
            merge = merge.when_matched_update_all()
        merge.when_not_matched_insert_all().execute()
        sync_version(self.url, table.version())

    def _with_all_columns(self, table: DeltaTable) -> DeltaTable:
        """Add the columns that an earlier version of this project did not write, as nulls in its rows."""
        absent = missing_columns(_schema_in(table), self._stored)
        if not absent:
            return table
        table.alter.add_columns(Schema.from_arrow(pa.schema(absent)).fields, commit_properties=no_rebase())
        return self._open() or self._create_empty()

    def _create_empty(self) -> DeltaTable:
        return DeltaTable.create(
            self.url,
            self._stored,
            mode="ignore",
            name=self._spec.name,
            configuration=configuration(self._spec),
            storage_options=storage_options(self.url),
        )


def _schema_in(table: DeltaTable) -> pa.Schema:
    return pa.schema(table.schema().to_arrow())


def _with_nulls(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Add missing columns as nulls, so that rows of an earlier version of this project have all columns."""
    columns = [
        batch.column(field.name) if field.name in batch.schema.names else pa.nulls(batch.num_rows, field.type)
        for field in schema
    ]
    return pa.record_batch(columns, schema=schema)

"""The catalog: which images are done. One Delta table, `<workspace>/catalog/derained`.

Only the coordinator writes. A commit is a merge on the identity of an output (source, key, etag, destination,
export), so that no row can double, however often and from however many coordinators it is sent. Readers
(Spark, DuckDB, Polars) see whole commits and may go on with an older version while a newer one is written.

Removed files stay readable for seven days (`RETENTION`), so versions of the last week can be travelled back
to; the log of changes is kept for thirty days.
"""

from __future__ import annotations

import logging
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, WriterProperties
from deltalake.exceptions import (
    CommitFailedError,
    DeltaError,
    DeltaProtocolError,
    SchemaMismatchError,
    TableNotFoundError,
)

from infra import catalog_rows
from infra.catalog_schema import COLUMNS, IDENTITY, check_schema, record_schema, records_table
from infra.credentials import delta_options
from infra.faults import Patience, WorldFault
from infra.records import DerainRecord, Scope

logger = logging.getLogger(__name__)

ATTEMPTS = 12
"""Tries of one commit, over about half a minute."""
READ_ATTEMPTS = 3
"""Tries of opening the table to read it."""
COMPACT_AT = 64
"""So many small files make compaction pay; each commit adds one."""
FILE_BYTES = 16 * 1024 * 1024
"""What compaction aims at: about 250,000 rows, so that making an output again rewrites little."""
RETENTION = "interval 7 days"

_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=65_536)
_SAME_IDENTITY = " AND ".join(f"target.{name} = source.{name}" for name in IDENTITY)
_PERCENT_ESCAPE = re.compile("%[0-9A-Fa-f]{2}")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_HEALS = (DeltaError, OSError)
_DERAINED = "status = 'derained'"
_NEVER_HEALS = (DeltaProtocolError, SchemaMismatchError, PermissionError)

Answer = TypeVar("Answer")


class CatalogFault(WorldFault):
    """The catalog could not be read or written, though tried again: the work stays pending."""


class WorkspaceRefused(ValueError):
    """No Delta table can be kept under this path."""


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
        if _PERCENT_ESCAPE.search(workspace):
            raise WorkspaceRefused(
                f"workspace {workspace} has a percent escape in its path: choose another name"
            )
        self.url = f"{workspace.rstrip('/')}/catalog/derained"

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
            self._persistently("commit", lambda: self._merge(rows, replace))

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
        table = self._persistently("opening", self._open, READ_ATTEMPTS)
        if table is None:
            return
        schema = pa.schema([record_schema().field(name) for name in columns])
        try:
            stream = table.scan(columns=list(columns), predicate=_all_of(_in_scope(scope), where))
            # The engine gives views of strings; few readers know these.
            yield from pa.RecordBatchReader.from_stream(stream).cast(schema)
        except (*_HEALS, pa.ArrowException) as error:
            raise CatalogFault(f"catalog {self.url} could not be read: {_one_line(error)}") from error

    def table(self, scope: Scope | None = None) -> pa.Table:
        """Read all rows at once: for small catalogs and for tests."""
        return pa.Table.from_batches(self.scan(scope), schema=record_schema())

    def summary(self, scope: Scope) -> dict[str, int]:
        """Count the rows of a scope by status."""
        return catalog_rows.count_statuses(self.scan(scope, ["status"]))

    def worst(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the derained rows with the largest rain energy, most rain first."""
        return catalog_rows.rainiest(self.scan(scope, where=_all_of(_DERAINED, _of_run(run_id))), limit)

    def sample(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give derained rows at random, the same ones each time: those whose keys hash lowest."""
        return catalog_rows.lowest_hashes(self.scan(scope, where=_all_of(_DERAINED, _of_run(run_id))), limit)

    def rejected(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Give the first rejected rows by key, with their reasons."""
        rejected = _all_of("status = 'rejected'", _of_run(run_id))
        return catalog_rows.first_keys(self.scan(scope, where=rejected), limit)

    def maintain(self) -> bool:
        """Compact and vacuum once many small files have gathered; cheap to call after every commit.

        No row is lost, and readers are undisturbed: replaced files stay for `RETENTION`. A race lost to a
        commit leaves the table as it is, for the next call.

        Returns
        -------
        bool
            Whether anything was compacted.
        """
        try:
            table = self._open()
            if table is None or _small_files(table) < COMPACT_AT:
                return False
            table.optimize.compact(
                target_size=FILE_BYTES,
                max_concurrent_tasks=1,
                writer_properties=_WRITER,
                commit_properties=_once(),
            )
            table.vacuum(dry_run=False)
        except _HEALS as error:
            logger.warning("catalog maintenance put off: %s", _one_line(error))
            return False
        return True

    def _merge(self, rows: pa.Table, replace: bool) -> None:
        table = self._open() or self._create()
        # Not streamed: the merge then knows the rows' smallest and largest keys and skips files outside them.
        merge = table.merge(
            rows,
            predicate=_SAME_IDENTITY,
            source_alias="source",
            target_alias="target",
            streamed_exec=False,
            writer_properties=_WRITER,
            commit_properties=_once(),
        )
        if replace:
            merge = merge.when_matched_update_all()
        merge.when_not_matched_insert_all().execute()

    def _open(self) -> DeltaTable | None:
        # Not asking is_deltatable first: it stops all threads of the process, the lease's too, until it is told.
        try:
            table = DeltaTable(self.url, storage_options=self._options())
        except TableNotFoundError:
            return None
        check_schema(self.url, pa.schema(table.schema().to_arrow()))
        return table

    def _create(self) -> DeltaTable:
        return DeltaTable.create(
            self.url,
            record_schema(),
            mode="ignore",
            name="derained",
            configuration={
                "delta.deletedFileRetentionDuration": RETENTION,
                "delta.dataSkippingStatsColumns": ",".join((*IDENTITY, "status", "derained_at")),
            },
            storage_options=self._options(),
        )

    def _options(self) -> dict[str, str]:
        options = delta_options(self.url)
        if options:  # each of its requests is tried again by itself, for three minutes if it is not told
            options["retry_timeout"] = f"{_patience_seconds() * 1000:.0f}ms"
        return options

    def _persistently(self, doing: str, attempt: Callable[[], Answer], attempts: int = ATTEMPTS) -> Answer:
        """Call until it works, so many times at most; what lost a race then sees the winner's version."""
        until = time.monotonic() + _patience_seconds()
        for number in range(1, attempts + 1):
            try:
                return attempt()
            except _NEVER_HEALS as error:
                raise CatalogFault(f"catalog {self.url}: {doing} refused: {_one_line(error)}") from error
            except _HEALS as error:
                is_race = isinstance(error, CommitFailedError)
                if number == attempts or (time.monotonic() > until and not is_race):
                    message = f"catalog {self.url}: {doing} failed {number} times: {_one_line(error)}"
                    raise CatalogFault(message) from error
                level = logging.DEBUG if is_race else logging.WARNING
                logger.log(level, "catalog %s, attempt %d: %s", doing, number, _one_line(error))
                time.sleep(min(0.05 * 2**number, 5.0) * random.uniform(0.5, 1.0))
        raise AssertionError("unreachable")


def _once() -> CommitProperties:
    """Never rebase a commit onto another's: what lost a race must look at the rows again."""
    return CommitProperties(max_commit_retries=0)


def _in_scope(scope: Scope | None) -> str | None:
    if scope is None:
        return None
    parts = (("source", scope.source), ("destination", scope.destination), ("export", scope.export))
    return _all_of(*(f"{name} = {_quoted(value)}" for name, value in parts))


def _of_run(run_id: str | None) -> str | None:
    return None if run_id is None else f"run_id = {_quoted(run_id)}"


def _all_of(*conditions: str | None) -> str | None:
    """Join conditions of SQL; None is no condition."""
    return " AND ".join(condition for condition in conditions if condition) or None


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _small_files(table: DeltaTable) -> int:
    sizes = pa.table(table.get_add_actions(flatten=True)).column("size_bytes")
    return int(pc.sum(pc.less(sizes, FILE_BYTES // 2)).as_py() or 0)


def _patience_seconds() -> float:
    return Patience.from_environment().budget_seconds


def _one_line(error: BaseException) -> str:
    return " ".join(_COLOUR.sub("", str(error)).split())

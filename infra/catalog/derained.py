"""The catalog of derained images: one Delta table, `<workspace>/catalog/derained`, read and written by `Catalog`.

Only the coordinator writes. A commit is a merge on the identity of an output (source, key, etag, destination,
export), so that rows are never duplicated, however often and by however many coordinators they are sent. Readers
(Spark, DuckDB, Polars) see whole commits and may keep reading an older version while a newer one is written.

Removed files stay readable for seven days (`RETENTION` of `infra.catalog.delta.options`), which allows time travel
to any version of the last week; the log of changes is kept for thirty days.
"""

from __future__ import annotations

from collections.abc import Sequence

from infra.catalog import rows
from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.delta.schema import VERSION, TableSpec
from infra.catalog.workspace_table import WorkspaceTable
from infra.records import DERAINED, REJECTED, DerainRecord, ImageRef, Scope

_IDENTITY = ("source", "key", "etag", "destination", "export")
TABLE = TableSpec(
    "derained",
    DerainRecord,
    _IDENTITY,
    indexed=(*_IDENTITY, "status", "derained_at"),
    version_column=VERSION,
)


class Catalog(WorkspaceTable):
    """The `derained` table of one workspace; see `WorkspaceTable`."""

    spec = TABLE

    def worst(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Return the derained rows with the largest rain energy, largest first."""
        return rows.rainiest(self.scan(where=all_of(in_scope(scope), DERAINED, _of_run(run_id))), limit)

    def sample(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Return a random but repeatable sample of derained rows: those whose keys have the lowest hashes."""
        return rows.lowest_hashes(self.scan(where=all_of(in_scope(scope), DERAINED, _of_run(run_id))), limit)

    def of_run(self, scope: Scope, limit: int, run_id: str) -> list[DerainRecord]:
        """Return the rows that a run wrote, by decreasing rain energy, with the rejected ones last."""
        return rows.rainiest(self.scan(where=all_of(in_scope(scope), _of_run(run_id))), limit)

    def rejected_images(self, scope: Scope, images: Sequence[ImageRef]) -> list[DerainRecord]:
        """Return the rejected rows of some images, by key."""
        wanted = {(image.key, image.etag) for image in images}
        return rows.of_images(self.scan(where=all_of(in_scope(scope), REJECTED)), wanted) if wanted else []

    def rejected(self, scope: Scope, limit: int, run_id: str | None = None) -> list[DerainRecord]:
        """Return the first rejected rows by key, with their reasons."""
        return rows.first_keys(self.scan(where=all_of(in_scope(scope), REJECTED, _of_run(run_id))), limit)


def in_scope(scope: Scope) -> str:
    """Return the condition for rows of one source, destination and export."""
    parts = (("source", scope.source), ("destination", scope.destination), ("export", scope.export))
    return " AND ".join(f"{name} = {quoted(value)}" for name, value in parts)


def _of_run(run_id: str | None) -> str | None:
    return None if run_id is None else f"run_id = {quoted(run_id)}"

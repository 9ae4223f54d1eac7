"""`WorkspaceTable`, the base class of the tables of a workspace."""

from __future__ import annotations

from typing import ClassVar

from infra.catalog.delta.schema import TableSpec
from infra.catalog.delta.table import CatalogTable


class WorkspaceTable:
    """One table of one workspace; it holds no state, so every call sees the newest version.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.

    Raises
    ------
    WorkspaceRefused
        The path holds something like `%20`, which deltalake decodes when reading and not when writing.
    """

    spec: ClassVar[TableSpec]

    def __init__(self, workspace: str) -> None:
        self._table = CatalogTable(workspace, self.spec)
        self._workspace = workspace.rstrip("/")
        self.url = self._table.url

    def version(self) -> int | None:
        """Return the table's version, for later time travel; None if nothing has been committed yet."""
        return self._table.version()

    def maintain(self) -> bool:
        """Compact if it pays, which adds a version; `TableSpec.keeps_versions` says how long earlier ones stay."""
        return self._table.maintain()

    def forget_versions(self, days: float) -> int:
        """Remove files of versions replaced more than this many days ago; see `CatalogTable.forget_versions`."""
        return self._table.forget_versions(days)

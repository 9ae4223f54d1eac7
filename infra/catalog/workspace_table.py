"""`WorkspaceTable`, the base class of the tables of a workspace."""

from __future__ import annotations

from typing import ClassVar

from infra.catalog.delta.schema import TableSpec
from infra.catalog.delta.table import CatalogTable


class WorkspaceTable(CatalogTable):
    """One table of one workspace, whose class says which; see `CatalogTable`.

    Parameters
    ----------
    workspace : str
        An absolute local path or `s3://bucket/prefix`.
    """

    spec: ClassVar[TableSpec]

    def __init__(self, workspace: str) -> None:
        super().__init__(workspace, self.spec)
        self._workspace = workspace.rstrip("/")

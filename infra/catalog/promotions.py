"""The ledger of promotions (`Ledger`), a Delta table that records which version became champion when, and why.

The table is `<workspace>/catalog/promotions`. Rows are numbered per model and only ever added. A row is written
before the alias of the registry moves, so that every champion can be accounted for. If two runs write the same
number, one wins and the other raises `PromotionRaced`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from infra.catalog.delta.conditions import quoted
from infra.catalog.delta.schema import TableSpec
from infra.catalog.workspace_table import WorkspaceTable
from infra.errors import UserError

Decision = Literal["promoted", "refused", "rolled_back", "adopted"]
"""`adopted`: an existing champion was recorded: at the start of the ledger, after the alias was moved by hand, or
in another registry."""


class PromotionRaced(UserError):
    """Another run wrote the row that this run was about to write; nothing of this run was recorded."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure of champion and challenger, how much of it the challenger loses, and how much it may lose.

    Losses are positive if the challenger is worse, in the unit of the figure; the loss of `latency` is the ratio
    challenger / champion.
    """

    name: str
    n: int
    champion: float
    challenger: float
    loss: float
    loss_lower: float
    loss_upper: float
    limit: float
    passed: bool


@dataclass(frozen=True, slots=True)
class Promotion:
    """One row of the ledger: a decision on one version of a model."""

    model: str
    number: int
    """Number of the row within its model, from 1."""
    decision: str
    from_version: str | None
    """The champion before the decision; None in the first row of a model."""
    to_version: str
    """The champion after the decision or, in a refusal, the refused version."""
    reasons: str
    gates: tuple[Gate, ...]
    evaluation: str | None
    """URL of the table of figures per image."""
    run_id: str
    decided_at: datetime

    @property
    def is_move(self) -> bool:
        """Whether this row changed the champion."""
        return self.decision != "refused"


_IDENTITY = ("model", "number")
TABLE = TableSpec("promotions", Promotion, _IDENTITY, indexed=_IDENTITY, keeps_versions=True)


class Ledger(WorkspaceTable):
    """The `promotions` table of one workspace; see `WorkspaceTable`."""

    spec = TABLE

    def rows(self, model: str) -> list[Promotion]:
        """Read the rows of a model, oldest first.

        Raises
        ------
        CatalogError
            The table could not be read.
        CatalogSchemaMismatch
            The workspace holds a table of another schema.
        """
        batches = self.scan(where=f"model = {quoted(model)}")
        found = [_promotion(row) for batch in batches for row in batch.to_pylist()]
        return sorted(found, key=lambda row: row.number)

    def append(self, row: Promotion) -> Promotion:
        """Add a row under the next number, read it back and return it with that number.

        Raises
        ------
        PromotionRaced
            Another run took the number.
        CatalogError
            The table could not be written; the row may or may not have been added.
        """
        numbered = replace(row, number=1 + max((each.number for each in self.rows(row.model)), default=0))
        self.commit([numbered], replace=False)
        if numbered not in self.rows(row.model):
            raise PromotionRaced(
                f"{self.url}: another run decided on {row.model} at the same moment; run it again"
            )
        return numbered

    def last_move(self, model: str) -> Promotion | None:
        """Return the row that made the current champion."""
        return next((row for row in reversed(self.rows(model)) if row.is_move), None)

    def identity(self, model: str) -> str:
        """Return the run of the first row, which no ledger of another workspace has; empty without rows."""
        return next((row.run_id for row in self.rows(model)), "")

    def champion_on(self, model: str, when: datetime) -> str | None:
        """Return the version that was champion at a moment; None before the first row."""
        moves = [row for row in self.rows(model) if row.is_move and row.decided_at <= when]
        return moves[-1].to_version if moves else None


def _promotion(row: dict[str, object]) -> Promotion:
    gates = row.pop("gates")
    assert isinstance(gates, list)
    return Promotion(gates=tuple(Gate(**gate) for gate in gates), **row)  # type: ignore[arg-type]

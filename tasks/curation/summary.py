"""The summary of a curation (`CurationSummary`), printed as the last line of its run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from infra.records import PseudoLabelRecord
from infra.shown import shown_line
from tasks.readable import with_reasons
from tasks.workers.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class Decided:
    """Counts of the decisions of one run."""

    accepted: int
    rejected: int
    kept: int
    reviewed: int
    """Number of these decisions that a reviewer made."""
    reasons: Mapping[str, int]
    """Reasons for rejection and their counts."""

    @classmethod
    def of(cls, rows: Sequence[PseudoLabelRecord]) -> Self:
        """Count rows of the ledger."""
        counts = Counter(row.decision for row in rows)
        reasons = Counter(row.reason or "" for row in rows if row.decision == "rejected")
        return cls(
            accepted=counts["accepted"],
            rejected=counts["rejected"],
            kept=counts["kept"],
            reviewed=sum(row.reviewer_decision is not None for row in rows),
            reasons=reasons,
        )


@dataclass(frozen=True, slots=True)
class CurationSummary:
    """The decisions of one run, and the crops left for the next one."""

    decided: Decided
    pending: tuple[Unfinished, ...]
    """Crops that could not be judged, with reasons."""
    waiting: int
    """Number of new crops that the limit left for the next run."""
    in_force: int
    """Number of accepted pseudo-labels after this run."""
    streaks: int
    """Number of real rain layers added to the bank."""
    page: str | None

    def line(self) -> str:
        """Return the run in one line."""
        decided = self.decided
        count = decided.accepted + decided.rejected + decided.kept
        rejected = with_reasons(f"{decided.rejected:,} rejected", decided.reasons)
        text = (
            f"{count:,} crops decided: {decided.accepted:,} accepted, {rejected},"
            f" {decided.kept:,} unchanged ({decided.reviewed:,} by a reviewer); {self.in_force:,}"
            f" pseudo-labels in force, {self.streaks:,} streak layers added"
        )
        if self.waiting:
            text += f"; {self.waiting:,} new crops are left for the next run (--limit)"
        if self.pending:
            first = self.pending[0]
            why = shown_line(f"{first.key}: {first.reason}")
            text += f"; {len(self.pending):,} crops are pending, run it again ({why})"
        return f"{text}; review page: {self.page}" if self.page else text

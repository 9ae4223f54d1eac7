"""The champion of the registry and its ledger (`open_transaction`): moved together, and repaired if they disagree.

The row of the ledger is written first, so a killed run leaves either the old or the new champion, and the next
promote or rollback completes what the ledger says. The lease excludes concurrent runs; if two write at once
nevertheless, the ledger accepts only one of the rows.

The ledger belongs to a workspace, the numbers of versions to a registry. A tag of the registry names the ledger
that governs it, so that a workspace does not apply its rows to the versions of another registry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from infra.catalog.promotions import Decision, Ledger, Promotion
from infra.errors import UserError
from infra.failpoints import failpoint
from infra.records import model_label
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.tracking.registry import CHAMPION, CHAMPION_URL, PREVIOUS, SETTLED, STUDENT, Aliases, Registry

BY_HAND = "found as champion: its alias was moved by hand"
OTHER_REGISTRY = "found as champion of a registry that does not name this ledger"
FOUNDING = "found as champion when the ledger began; dated by its registration"
ELSEWHERE = (
    f"{CHAMPION_URL} of {{registry}} is governed by another workspace, whose ledger began with run {{run}}:"
    " promote there, or set DERAIN_TRACKING_URI to a registry of this workspace; to govern this one from here"
    f" instead, delete the tag {SETTLED} of the model"
)


class PromotionFailed(UserError):
    """Raised if a request cannot be fulfilled; the message names the problem and the remedy."""


@dataclass(frozen=True, slots=True)
class PromotionTransaction:
    """The right to change the champion: lease, ledger and registry."""

    registry: Registry
    ledger: Ledger
    lease: Lease
    run_id: str

    def move(self, row: Promotion) -> Promotion:
        """Write a row, then make its version the champion.

        Raises
        ------
        LeaseLost, PromotionRaced
            If another run decides on this model; nothing has been changed.
        PromotionFailed
            If the registry does not return the aliases that were written; the next run writes them again.
        """
        written = self.write(row)
        failpoint("after-ledger")
        self.align(written)
        return written

    def write(self, row: Promotion) -> Promotion:
        """Write a row of the ledger."""
        self.lease.check()
        failpoint("after-gates")
        return self.ledger.append(row)

    def align(self, row: Promotion) -> None:
        """Set the aliases that a row specifies, and read them back; idempotent."""
        self.lease.check()
        if row.from_version is not None:
            self.registry.move_alias(row.model, PREVIOUS, row.from_version)
        failpoint("after-previous")
        self.registry.move_alias(row.model, CHAMPION, row.to_version)
        failpoint("after-champion")
        found = self.registry.aliases(row.model).champion
        if found != row.to_version:
            raise PromotionFailed(
                f"{CHAMPION_URL} is {version_label(row.model, found)}, but row {row.number} of {self.ledger.url}"
                f" says {version_label(row.model, row.to_version)}: run it again"
            )
        failpoint("after-read-back")
        self.settle(row)

    def settle(self, row: Promotion) -> None:
        """Record in the registry that its aliases agree with this ledger up to a row."""
        self.registry.settle(row.model, self.ledger.identity(row.model), row.number)

    def repair(self) -> None:
        """Complete what a killed run started, and record changes that were made without the ledger.

        Raises
        ------
        PromotionFailed
            If the ledger of another workspace governs the champion of this registry.
        """
        aliases, rows = self.registry.aliases(STUDENT), self.ledger.rows(STUDENT)
        if aliases.ledger not in ("", rows[0].run_id if rows else ""):
            raise PromotionFailed(ELSEWHERE.format(registry=self.registry.uri, run=aliases.ledger))
        moves = [row for row in rows if row.is_move]
        if is_unfinished(moves, aliases):
            self.align(moves[-1])
        elif aliases.champion is not None:
            self._adopt(aliases.champion, moves[-1] if moves else None, (aliases.ledger, aliases.settled))

    def _adopt(self, champion: str, last: Promotion | None, settled: tuple[str, int]) -> None:
        """Make ledger and registry agree on the champion of the registry, which says that `settled` did so last."""
        if last is None:
            founding = self.row("adopted", None, champion, FOUNDING)
            began = self.registry.registered_at(STUDENT, champion)
            self.align(self.write(replace(founding, decided_at=began)))
            return
        is_here = settled == (self.ledger.identity(STUDENT), last.number)
        if last.to_version != champion:
            # In another registry, the number of the ledger's last version means another version, or none.
            before, reasons = (last.to_version, BY_HAND) if is_here else (None, OTHER_REGISTRY)
            self.align(self.write(self.row("adopted", before, champion, reasons)))
        elif not is_here:
            self.settle(last)

    def row(self, decision: Decision, before: str | None, after: str, reasons: str) -> Promotion:
        """Make a row without writing it."""
        now = datetime.now(UTC)
        return Promotion(STUDENT, 0, decision, before, after, reasons, (), None, self.run_id, now)


def is_unfinished(moves: Sequence[Promotion], aliases: Aliases) -> bool:
    """Return whether a killed run left the last move of the ledger to be completed in this registry.

    The registry then agrees with the move before, and its champion is still the earlier or already the new one.
    """
    if not moves:
        return False
    last, settled = moves[-1], moves[-2].number if len(moves) > 1 else 0
    # An adoption moves no champion.
    before = last.to_version if last.decision == "adopted" else last.from_version
    return aliases.settled == settled and aliases.champion in (before, last.to_version)


@contextmanager
def open_transaction(settings: Settings, run_id: str) -> Iterator[PromotionTransaction]:
    """Acquire the lease of the model and repair what an earlier run left incomplete.

    Raises
    ------
    LeaseHeld
        If another promote or rollback is running.
    """
    with lease_of(settings, f"models:/{STUDENT}", run_id) as lease:
        transaction = PromotionTransaction(Registry(settings), Ledger(settings.workspace), lease, run_id)
        transaction.repair()
        yield transaction


def version_label(model: str, version: str | None) -> str:
    """Return a version as text; "none" if there is none."""
    return "none" if version is None else model_label(model, version)

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
        elif aliases.champion is not None and moves:
            self._adopt(aliases.champion, moves[-1], aliases)
        elif aliases.champion is not None:
            began = self.registry.registered_at(STUDENT, aliases.champion)
            founding = self.row("adopted", None, aliases.champion, FOUNDING)
            self.align(self.write(replace(founding, decided_at=began)))

    def _adopt(self, champion: str, last: Promotion, aliases: Aliases) -> None:
        """Record the champion of the registry, unless the registry agrees with the last move of the ledger.

        In another registry, the number of the ledger's last version means another version, or none: it is no
        `from_version`. A row is written there even if the numbers are equal, so that the next move, left unfinished
        there, is not taken for one of the first registry.
        """
        is_named, is_settled = bool(aliases.ledger), aliases.settled == last.number
        if not is_settled or last.to_version != champion:
            before = last.to_version if is_named and is_settled else None
            reasons = BY_HAND if is_named else OTHER_REGISTRY
            self.align(self.write(self.row("adopted", before, champion, reasons)))
        elif not is_named:  # an earlier version wrote the number alone
            self.settle(last)

    def row(self, decision: Decision, before: str | None, after: str, reasons: str) -> Promotion:
        """Make a row without writing it."""
        now = datetime.now(UTC)
        return Promotion(STUDENT, 0, decision, before, after, reasons, (), None, self.run_id, now)


def is_unfinished(moves: Sequence[Promotion], aliases: Aliases) -> bool:
    """Return whether a killed run left the last move of the ledger to be completed in this registry.

    The registry then agrees with the move before, and its champion is still the earlier or already the new one. A
    founding that was left unfinished looks like another registry, and is recorded again, which does no harm.
    """
    if not moves or (len(moves) == 1 and moves[0].decision == "adopted"):
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

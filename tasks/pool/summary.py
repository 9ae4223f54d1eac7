"""The summary of an ingest run: the flow's result and the last line on the console."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from infra.records import PoolRecord
from infra.storage.listing import LeftOut
from tasks.media.leaving_out import left_out_parts
from tasks.pool.splits import VALIDATION
from tasks.readable import duration, short_reason, with_reasons


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """Counts of one run: images by outcome, and crops of the accepted images.

    `state` is `Completed` or `Failed`; `message` gives the reason, or what to check.
    """

    run_id: str
    state: str
    message: str
    sources: tuple[str, ...]
    started_at: datetime
    finished_at: datetime
    listed: int
    left_out: LeftOut
    """Counts of other objects in the sources, and of folders that were not entered."""
    known_before: int
    accepted: int
    reasons: Mapping[str, int]
    """Reasons for rejection and their counts, most frequent first."""
    pending: int
    train_crops: int
    validation_crops: int
    pool_crops: int
    """Number of all crops in the pool after the run."""

    @property
    def rejected(self) -> int:
        """Number of rejected images."""
        return sum(self.reasons.values())

    @property
    def crops(self) -> int:
        """Number of crops added to the pool."""
        return self.train_crops + self.validation_crops

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return not (self.accepted or self.rejected or self.pending)

    @property
    def wall_seconds(self) -> float:
        """Duration of the run in seconds."""
        return (self.finished_at - self.started_at).total_seconds()

    def line(self) -> str:
        """Return the run in one line: `80 images accepted, 6 rejected (4 near duplicate, 2 blurred), ...`."""
        rejected = with_reasons(f"{self.rejected:,} rejected", self.reasons)
        text = (
            f"{self.accepted:,} images accepted, {rejected}, {self.pending:,} pending;"
            f" {self.crops:,} crops ({self.train_crops:,} train, {self.validation_crops:,} validation),"
            f" {self.pool_crops:,} in the pool, in {duration(self.wall_seconds)}"
        )
        return "; ".join([text, *self.other_parts()])

    def other_parts(self) -> list[str]:
        """Describe the objects that were not pending: known before, left out."""
        known = [f"{self.known_before:,} known before"] if self.known_before else []
        return known + left_out_parts(self.left_out)


@dataclass(slots=True)
class IngestTally:
    """Counts of what a run has recorded so far."""

    accepted: int = 0
    train_crops: int = 0
    validation_crops: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def recorded(self) -> int:
        """Number of images with a committed row."""
        return self.accepted + sum(self.reasons.values())

    def add(self, rows: Sequence[PoolRecord]) -> None:
        """Count committed rows."""
        for row in rows:
            if row.status == "rejected":
                self.reasons[short_reason(row.reason)] += 1
                continue
            self.accepted += row.crop_id.endswith("-0")
            self.validation_crops += row.split == VALIDATION
            self.train_crops += row.split != VALIDATION

"""The tally of a stage's run (`Tally`): counts of done, rejected and pending items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from infra.shown import shown_line
from infra.storage.listing import count_reason
from tasks.readable import short_reason
from tasks.waves.stage import Outcome, Row, ShardResult
from tasks.workers.unfinished import Unfinished


@dataclass(slots=True)
class Tally:
    """Counts of what a run has done so far."""

    done: int = 0
    """Number of completed items that were not rejected."""
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of rejected items per reason."""
    pixels: int = 0
    image_seconds: float = 0.0
    phase_seconds: dict[str, float] = field(default_factory=dict)
    """CPU seconds of the workers by phase of their work."""
    unfinished: list[Unfinished] = field(default_factory=list)
    unfinished_count: int = 0
    stopped_by: str | None = None
    """The failure of storage or workers that ended the run early."""
    has_ended_early: bool = False
    """Whether a failure of storage or workers ended the run before everything was tried."""

    KEEP = 20
    """Largest number of pending items whose reasons are kept."""
    NAMED = 3
    """Largest number of pending items that the run's message names."""

    def add(self, result: ShardResult[Row], outcome_of: Callable[[Row], Outcome]) -> None:
        """Count the result of a shard."""
        for outcome in map(outcome_of, result.records):
            self.pixels += outcome.pixels
            if outcome.rejected_for is None:
                self.done += 1
            else:
                self.rejected += 1
                count_reason(self.reasons, short_reason(outcome.rejected_for))
        self.image_seconds += result.image_seconds
        if result.timing is not None:
            cpu_of = {str(phase): seconds for phase, seconds in result.timing.cpu_of.items()}
            self.phase_seconds = _sums(self.phase_seconds, cpu_of)
        self._leave(result.unfinished)

    def withdraw(self, unfinished: Sequence[Unfinished]) -> None:
        """Move items from done to pending."""
        self.done -= len(unfinished)
        self._leave(unfinished)

    def __add__(self, other: Tally) -> Tally:
        """Return the combined counts of two runs."""
        return replace(
            self,
            done=self.done + other.done,
            rejected=self.rejected + other.rejected,
            reasons=self.reasons + other.reasons,
            pixels=self.pixels + other.pixels,
            image_seconds=self.image_seconds + other.image_seconds,
            phase_seconds=_sums(self.phase_seconds, other.phase_seconds),
            unfinished=[*self.unfinished, *other.unfinished][: self.KEEP],
            unfinished_count=self.unfinished_count + other.unfinished_count,
            stopped_by=self.stopped_by or other.stopped_by,
            has_ended_early=self.has_ended_early or other.has_ended_early,
        )

    def snapshot(self) -> Tally:
        """Return an independent copy."""
        return replace(self, unfinished=list(self.unfinished), reasons=self.reasons.copy())

    @property
    def recorded(self) -> int:
        """Number of done or rejected items."""
        return self.done + self.rejected

    @property
    def images(self) -> int:
        """Number of completed items, recorded or not."""
        return self.recorded + self.unfinished_count

    def pending_line(self, pending: int) -> str:
        """Describe how many images are pending and why: what ended the run, and the first few images."""
        keys_of: dict[str, list[str]] = {}
        for item in self.unfinished[: self.NAMED]:
            keys_of.setdefault(item.reason, []).append(item.key)
        reasons = [f"{', '.join(keys)}: {reason}" for reason, keys in keys_of.items()]
        why = "; ".join([self.stopped_by, *reasons] if self.stopped_by else reasons)
        return shown_line(f"{pending:,} images are still pending, run it again to continue with them ({why})")

    def _leave(self, unfinished: Sequence[Unfinished]) -> None:
        self.unfinished_count += len(unfinished)
        self.unfinished += unfinished[: self.KEEP - len(self.unfinished)]


def _sums(some: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """Add two mappings to numbers; a missing key counts as 0."""
    return {name: some.get(name, 0.0) + others.get(name, 0.0) for name in (*some, *others)}

"""The protocol of a pipeline stage (`Stage`): items in shards, a job for workers, rows to commit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tasks.workers.timing import ShardTiming
from tasks.workers.unfinished import Unfinished


class Keyed(Protocol):
    """An item with a name, which is reported if it stays pending: an image or a crop."""

    @property
    def key(self) -> str:
        """Name of the item."""


Item = TypeVar("Item", bound=Keyed)
"""Type of the items that are sent to workers: references without pixels."""
Row = TypeVar("Row")
"""Type of the result of a completed item."""


@dataclass(frozen=True, slots=True)
class Shard(Generic[Item]):
    """The items that one task processes."""

    index: int
    items: tuple[Item, ...]
    replace: bool
    """Whether the items have rows that a commit replaces; the same for all items of a shard."""


@dataclass(frozen=True, slots=True)
class ShardResult(Generic[Row]):
    """Rows of completed items, the items that stay pending, and the cost."""

    records: tuple[Row, ...]
    unfinished: tuple[Unfinished, ...]
    image_seconds: float
    """CPU seconds spent on the items, without waiting for storage."""
    left: int = 0
    """Items at the end of the shard that were not started before its time was up."""
    timing: ShardTiming | None = None
    """The worker's time by phase, if the job measures it."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[Item, Row]):
    """A shard that returned from its worker or was given up."""

    shard: Shard[Item]
    result: ShardResult[Row]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of an item."""

    pixels: int = 0
    """Number of processed pixels."""
    rejected_for: str | None = None
    """Reason for rejection; None if the item was not rejected."""


class Job(Protocol[Item, Row]):
    """The work on each shard of a run; sent with every shard, so it must be small and free of credentials."""

    @property
    def run_id(self) -> str:
        """Id of the run."""

    def do(self, shard: Shard[Item]) -> ShardResult[Row]:
        """Process the items of a shard on a worker."""

    def try_without_image(self) -> bool:
        """Run the parts of the job that need no item."""

    @property
    def is_divisible(self) -> bool:
        """Whether a shard that killed its workers can be halved."""

    def killed(self, shard: Shard[Item]) -> ShardResult[Row]:
        """Return the result of a shard that cannot be halved and kills every process that works on it."""


class Stage(Protocol[Item, Row]):
    """One stage of the pipeline, run by `tasks.waves.runner.run_stage`."""

    @property
    def wave_name(self) -> str | None:
        """Name of the task run of each commit; None: commits belong to another task run."""

    @property
    def in_order(self) -> bool:
        """Whether rows depend on earlier items, so that shards are committed in order, as far as they return."""

    @property
    def job(self) -> Job[Item, Row]:
        """The work on each shard."""

    def shards(self, workers: int) -> Iterator[Shard[Item]]:
        """Yield the pending items in shards that suit this many workers."""

    def outcome(self, row: Row) -> Outcome:
        """Return the outcome of a row's item."""

    def commit(self, finished: Sequence[Finished[Item, Row]]) -> Sequence[Unfinished]:
        """Record all rows or none; return the items that must stay pending nevertheless.

        Raises
        ------
        TransientError, ObjectNotFound, AccessDenied, LeaseLost
            If nothing could be recorded.
        """


def halved(shard: Shard[Item]) -> list[Shard[Item]]:
    """Halve a shard; return an empty list for a single item."""
    middle = len(shard.items) // 2
    parts = (shard.items[:middle], shard.items[middle:]) if middle else ()
    return [Shard(shard.index, part, shard.replace) for part in parts]


def given_up(shard: Shard[Item], reason: str) -> Finished[Item, Row]:
    """Leave all items of a shard pending."""
    return Finished(shard, unfinished(shard, reason))


def unfinished(shard: Shard[Item], reason: str) -> ShardResult[Row]:
    """Return the result of a shard of which no item was processed."""
    return ShardResult((), tuple(Unfinished(item.key, reason) for item in shard.items), 0.0)

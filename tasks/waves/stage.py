"""What a stage of the pipeline is: items in shards, work on workers, rows that are committed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Keyed(Protocol):
    """Anything that can be named when it stays pending: an image, a crop."""

    @property
    def key(self) -> str:
        """Its name."""


Item = TypeVar("Item", bound=Keyed)
"""What goes to workers: a reference, without pixels."""
Row = TypeVar("Row")
"""What is known of an item once it is through."""


@dataclass(frozen=True, slots=True)
class Shard(Generic[Item]):
    """The items that one task works on."""

    index: int
    items: tuple[Item, ...]
    replace: bool
    """Whether its items have rows already, which a commit is to replace; true of all of them or of none."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An item that stays pending, and what of the world was in the way."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShardResult(Generic[Row]):
    """Rows of the items that are through, the items that stay pending, and what it cost."""

    records: tuple[Row, ...]
    unfinished: tuple[Unfinished, ...]
    image_seconds: float
    """CPU seconds that the items took, without waiting for storage."""
    left: int = 0
    """Items at the end of the shard that were not begun, because its time was up."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[Item, Row]):
    """A shard that came back from its worker, or was given up."""

    shard: Shard[Item]
    result: ShardResult[Row]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item."""

    pixels: int = 0
    """Those that were worked on."""
    rejected_for: str | None = None
    """Why it was rejected; None if it was not."""


class Job(Protocol[Item, Row]):
    """What workers do with each shard of a run; sent with it, so small, and without credentials."""

    @property
    def run_id(self) -> str:
        """The run."""

    def do(self, shard: Shard[Item]) -> ShardResult[Row]:
        """Do it, on a worker."""

    def try_without_image(self) -> bool:
        """Do as much of it as can be done without an item."""

    def halves(self, shard: Shard[Item]) -> list[Shard[Item]]:
        """Cut a shard that killed its workers in two; return nothing where it cannot be cut."""

    def killed(self, shard: Shard[Item]) -> ShardResult[Row]:
        """Return what becomes of a shard that cannot be cut and kills each process that works on it."""


class Stage(Protocol[Item, Row]):
    """One stage of the pipeline, run by `tasks.waves.runner.run_stage`."""

    @property
    def wave_name(self) -> str | None:
        """Name of the task run of each commit; None: it is part of another one."""

    @property
    def in_order(self) -> bool:
        """Whether rows depend on earlier items, so that shards are committed in their order."""

    @property
    def job(self) -> Job[Item, Row]:
        """What workers do."""

    def shards(self, workers: int) -> Iterator[Shard[Item]]:
        """Stream what is to do, cut for this many workers."""

    def outcome(self, row: Row) -> Outcome:
        """Return what became of the item of a row."""

    def commit(self, finished: Sequence[Finished[Item, Row]]) -> Sequence[Unfinished]:
        """Record rows, all or none of them; return the items that have to stay pending after all.

        Raises
        ------
        TransientError, ObjectNotFound, AccessDenied, LeaseLost
            If nothing could be recorded.
        """


def halved(shard: Shard[Item]) -> list[Shard[Item]]:
    """Cut a shard in two; an item alone gives nothing."""
    middle = len(shard.items) // 2
    parts = (shard.items[:middle], shard.items[middle:]) if middle else ()
    return [Shard(shard.index, part, shard.replace) for part in parts]


def given_up(shard: Shard[Item], reason: str) -> Finished[Item, Row]:
    """Leave all items of a shard pending."""
    return Finished(shard, unfinished(shard, reason))


def unfinished(shard: Shard[Item], reason: str) -> ShardResult[Row]:
    """Return the result of a shard of which nothing was done."""
    return ShardResult((), tuple(Unfinished(item.key, reason) for item in shard.items), 0.0)

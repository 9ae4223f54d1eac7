"""Shards that lost their worker again and again: finds the image that kills the process."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from typing import Generic

from distributed import KilledWorker

from infra.errors import TransientError
from tasks.waves.dispatch import SCHEDULER_GONE, Finished, Workers, given_up
from tasks.waves.pending import Shard
from tasks.waves.shard_results import Row, ShardResult


class WorkersDie(TransientError):
    """Worker processes die whatever they do."""


class Quarantine(Generic[Row]):
    """Suspects, run one at a time once all waves are through: what dies now was killed by nobody else.

    A shard that kills its workers is halved, and its halves are run, down to the one image that does it, which
    is rejected.

    Parameters
    ----------
    workers : Workers
        Nothing else of this run is under way on them.
    suspects : iterable of Shard
        Looked at in this order.
    """

    def __init__(self, workers: Workers[Row], suspects: Iterable[Shard]) -> None:
        self._workers = workers
        self._waiting = deque(part for shard in suspects for part in halved(shard) or [shard])

    def results(self) -> Iterator[Finished[Row]]:
        """Yield shards as they come back, and single images that never will.

        Raises
        ------
        WorkersDie
            If workers die whatever they do: no image is to blame.
        """
        while self._waiting:
            shard = self._waiting.popleft()
            try:
                yield Finished(shard, self._workers.send(shard).result(timeout=self._workers.stall_seconds))
            except KilledWorker:
                halves = halved(shard)
                self._waiting.extendleft(reversed(halves))
                if not halves:
                    self._check_workers()
                    yield Finished(shard, self._killer(shard))
            except TimeoutError:
                yield from map(self._workers.stalled, (shard, *self._waiting))
                return
            except CancelledError:
                yield from (given_up(each, SCHEDULER_GONE) for each in (shard, *self._waiting))
                return

    def _check_workers(self) -> None:
        try:
            self._workers.try_without_image().result(timeout=self._workers.stall_seconds)
        except (KilledWorker, CancelledError, TimeoutError) as error:
            raise WorkersDie("worker processes die even without an image: look at their logs") from error

    def _killer(self, shard: Shard) -> ShardResult[Row]:
        return ShardResult((self._workers.job.killed_by(shard.refs[0]),), (), 0.0)


def halved(shard: Shard) -> list[Shard]:
    """Cut a shard in two; an image alone gives nothing."""
    middle = len(shard.refs) // 2
    parts = (shard.refs[:middle], shard.refs[middle:]) if middle else ()
    return [Shard(shard.index, part, shard.replace) for part in parts]

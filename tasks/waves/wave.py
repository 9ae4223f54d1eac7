"""Waves: the shards in flight between two catalog commits.

Shards go to Dask before their wave's turn comes, so that workers do not wait for commits. Where no shard comes
back for very long, workers hang or are gone: those shards are given up, and what came back is still recorded.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass, field, replace
from queue import Empty, SimpleQueue
from typing import Generic

from distributed import Future, KilledWorker

from infra.failpoints import failpoint
from infra.storage.listing import count_reason
from tasks.readable import short_reason
from tasks.waves.dispatch import SCHEDULER_GONE, Finished, Results, Workers, given_up
from tasks.waves.pending import Shard
from tasks.waves.quarantine import Quarantine
from tasks.waves.shard_results import ImageRow, Row, ShardResult, Unfinished


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    done: int = 0
    """Images that are through and were not rejected."""
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """Why images were rejected."""
    pixels: int = 0
    image_seconds: float = 0.0
    unfinished: list[Unfinished] = field(default_factory=list)
    unfinished_count: int = 0
    stopped_by: str | None = None
    """The fault of the world that ended the run early."""

    KEEP = 20
    """Unfinished images whose reasons are kept for the run's message."""

    def add(self, result: ShardResult[ImageRow]) -> None:
        """Count the result of a shard."""
        done = [record for record in result.records if record.status != "rejected"]
        self.done += len(done)
        self.rejected += len(result.records) - len(done)
        for record in result.records:
            if record.status == "rejected":
                count_reason(self.reasons, short_reason(record.reason))
        self.pixels += sum((record.height or 0) * (record.width or 0) for record in done)
        self.image_seconds += result.image_seconds
        self.unfinished_count += len(result.unfinished)
        self.unfinished += result.unfinished[: self.KEEP - len(self.unfinished)]

    def snapshot(self) -> Tally:
        """Return a copy that does not change with this one."""
        return replace(self, unfinished=list(self.unfinished), reasons=self.reasons.copy())

    @property
    def recorded(self) -> int:
        """Images that have a row now."""
        return self.done + self.rejected

    @property
    def images(self) -> int:
        """Images that are through, recorded or not."""
        return self.recorded + self.unfinished_count


class Wave(Generic[Row]):
    """Shards that were handed to Dask and will be committed together.

    Parameters
    ----------
    workers : Workers
        The cluster.
    shards : iterable of Shard
        Sent off at once.
    """

    def __init__(self, workers: Workers[Row], shards: Iterable[Shard]) -> None:
        self.suspects: list[Shard] = []
        self.has_stalled = False
        self._workers = workers
        self._patience = workers.stall_seconds
        self._arrived: SimpleQueue[Future] = SimpleQueue()
        self._shards = {workers.send(shard): shard for shard in shards}
        for future in self._shards:
            future.add_done_callback(self._arrived.put)

    def results(self) -> Iterator[Finished[Row]]:
        """Yield shards as they come back; once none came for too long, the others are given up.

        Those that lost their worker again and again become suspects: it may have been another shard, given to
        the same worker, that killed it.
        """
        while self._shards:
            try:
                future = self._arrived.get(timeout=self._patience)
            except Empty:
                self.has_stalled = True
                yield from map(self._workers.stalled, self._shards.values())
                return
            finished = self._finished(self._shards.pop(future), future)
            if finished is not None:
                yield finished

    def wait_no_more(self) -> None:
        """Give up at once what is not back yet."""
        self._patience = 0.0

    def _finished(self, shard: Shard, future: Future) -> Finished[Row] | None:
        try:
            return Finished(shard, future.result(timeout=self._workers.stall_seconds))
        except KilledWorker:
            self.suspects.append(shard)
            return None
        except TimeoutError:  # it is done, but its worker does not hand out the result
            self.has_stalled = True
            return self._workers.stalled(shard)
        except CancelledError:
            self.has_stalled = True
            return given_up(shard, SCHEDULER_GONE)


def run_waves(
    workers: Workers[Row],
    shards: Iterator[Shard],
    wave_shards: int,
    finish: Callable[[int, Results[Row]], bool],
) -> None:
    """Send shards off in waves and finish each, always with the next one under way already.

    Ends early when `finish` says that a wave got nothing done, or when workers hang: then the world is at fault,
    and later images would only wait for the same time-outs.
    """
    open_session: deque[tuple[int, Wave[Row]]] = deque()
    suspects: list[Shard] = []
    for number in itertools.count(1):
        chosen = list(itertools.islice(shards, wave_shards))
        if chosen:
            open_session.append((number, Wave(workers, chosen)))
        if not open_session:
            break
        if len(open_session) > 1 or not chosen:
            finishing, wave = open_session.popleft()
            got_on = finish(finishing, wave)
            suspects += wave.suspects
            failpoint("between-waves")
            if wave.has_stalled:
                _finish_without_waiting(open_session, finish)
            if wave.has_stalled or (not got_on and not wave.suspects):
                return
    if suspects:
        finish(number, Quarantine(workers, suspects))


def _finish_without_waiting(
    open_session: Iterable[tuple[int, Wave[Row]]], finish: Callable[[int, Results[Row]], bool]
) -> None:
    """Record what workers that do not hang have brought back of later waves."""
    for number, wave in open_session:
        wave.wait_no_more()
        finish(number, wave)

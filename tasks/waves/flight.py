"""Shards in flight (`Flight`): submitted, collected, given up, or, in `Quarantine`, halved if they kill workers."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Generic
from uuid import uuid4

from distributed import KilledWorker
from distributed.comm import CommClosedError

from infra.errors import TransientError
from tasks.waves.executors import SCHEDULER_GONE, Answer, Executor
from tasks.waves.stage import Finished, Item, Job, Row, Shard, ShardResult, given_up, halved

BEAT_SECONDS = 0.5
"""Seconds that `Flight.results` waits for a shard before it returns control to its caller."""
MANY = 64
"""Number of shards in flight at which shards that return shortly after one another are collected together."""
TOGETHER_SECONDS = 0.1
"""Seconds for which such shards wait for one another."""
SENT_TOGETHER = 256
"""Largest number of shards in one message to the scheduler, a few megabytes."""


class WorkersDie(TransientError):
    """Raised if worker processes die whatever they do."""


class Flight(Generic[Item, Row]):
    """Shards on their way to workers and back.

    Parameters
    ----------
    executor : Executor
        The workers.
    job : Job
        The work on each shard.
    window : callable
        Returns the largest number of shards in flight, which changes as workers join and leave.
    stall_seconds : float
        If no shard returns for this long, workers are assumed to hang, and all shards are given up.
    priority : int
        Shards of higher priority overtake waiting ones.
    """

    def __init__(
        self,
        executor: Executor,
        job: Job[Item, Row],
        window: Callable[[], int],
        stall_seconds: float,
        priority: int = 0,
    ) -> None:
        self.suspects: list[Shard[Item]] = []
        """Shards that repeatedly lost their worker; another shard on the same worker may be the cause."""
        self._executor = executor
        self._job = job
        self._window = window
        self._stall_seconds = stall_seconds
        self._priority = priority
        self._again: deque[Shard[Item]] = deque()
        self._flying: dict[Answer, Shard[Item]] = {}
        self._arrived: SimpleQueue[Answer] = SimpleQueue()
        self.closed_by: str | None = None
        """The reason why no more shards are sent."""

    def results(self, shards: Iterator[Shard[Item]]) -> Iterator[Finished[Item, Row] | None]:
        """Send shards and yield them as they return; yield None after each half second in which none does.

        Items that a worker did not start in time are sent again, before new shards.

        Raises
        ------
        TransientError
            If no workers are left, or they die whatever they do.
        """
        heard = time.monotonic()
        while self._fill(shards):
            arrived = self._arrivals()
            if arrived:
                heard = time.monotonic()
                yield from self._landed(arrived)
            elif time.monotonic() - heard >= self._stall_seconds:
                yield from self._give_up_flying()
            else:
                yield None
        if self.closed_by is not None:
            for shard in self._again:
                yield given_up(shard, self.closed_by)

    def first_index(self) -> int | None:
        """Return the lowest index of the shards in flight."""
        indices = [shard.index for shard in (*self._flying.values(), *self._again)]
        return min(indices, default=None)

    def _fill(self, shards: Iterator[Shard[Item]]) -> bool:
        window = self._window()
        while len(self._flying) < window and self.closed_by is None:
            sent = self._next_shards(shards, min(window - len(self._flying), SENT_TOGETHER))
            if not sent:
                break
            for shard, answer in zip(sent, self._send(sent), strict=True):
                self._flying[answer] = shard
                answer.add_done_callback(self._arrived.put)
        return bool(self._flying)

    def _next_shards(self, shards: Iterator[Shard[Item]], most: int) -> list[Shard[Item]]:
        again = [self._again.popleft() for _ in range(min(most, len(self._again)))]
        return again + list(itertools.islice(shards, most - len(again)))

    def _send(self, shards: list[Shard[Item]]) -> list[Answer]:
        # Tasks of one group wait at the scheduler, not at a worker that another task might kill.
        group = f"derain-shard-{self._job.run_id}"
        keys = [(group, shard.index, uuid4().hex) for shard in shards]
        return self._executor.submit_all(self._job.do, shards, keys, self._priority)

    def _arrivals(self) -> list[Answer]:
        """Return the answers that have arrived; wait for one of them for a while."""
        try:
            arrived = [self._arrived.get(timeout=min(BEAT_SECONDS, self._stall_seconds))]
        except Empty:
            return []
        if len(self._flying) >= MANY:
            time.sleep(TOGETHER_SECONDS)
        with suppress(Empty):
            while True:
                arrived.append(self._arrived.get_nowait())
        return arrived

    def _landed(self, arrived: list[Answer]) -> Iterator[Finished[Item, Row]]:
        results = self._executor.results(arrived, self._stall_seconds)
        for answer in arrived:
            shard = self._flying.pop(answer)
            result = results.get(answer)
            finished = self._result_of(shard, answer) if result is None else self._finished(shard, result)
            if finished is not None:
                yield finished

    def _result_of(self, shard: Shard[Item], answer: Answer) -> Finished[Item, Row] | None:
        try:
            return self._finished(shard, answer.result(timeout=self._stall_seconds))
        except KilledWorker:
            return self._died(shard)
        except TimeoutError:  # the shard is done, but its worker does not return the result
            self.closed_by = self._stalled()
        except (CancelledError, CommClosedError):
            self.closed_by = SCHEDULER_GONE
        return given_up(shard, self.closed_by)

    def _finished(self, shard: Shard[Item], result: ShardResult[Row]) -> Finished[Item, Row]:
        if result.left:
            self._again.append(replace(shard, items=shard.items[-result.left :]))
        return Finished(shard, result)

    def _died(self, shard: Shard[Item]) -> Finished[Item, Row] | None:
        self.suspects.append(shard)
        return None

    def _give_up_flying(self) -> Iterator[Finished[Item, Row]]:
        self.closed_by = self._stalled()
        for shard in self._flying.values():
            yield given_up(shard, self.closed_by)
        self._flying.clear()

    def _stalled(self) -> str:
        return (
            f"no shard came back for {self._stall_seconds:,g} s (DERAIN_STALL_SECONDS):"
            " workers hang or are gone, see their logs"
        )


class Quarantine(Flight[Item, Row]):
    """Suspect shards, run one at a time after all others, so that a dead worker has only one possible cause.

    A shard that kills its workers is halved repeatedly until the one responsible item is found.

    Raises
    ------
    WorkersDie
        From `results`, if workers die whatever they do, so that no item is responsible.
    """

    def __init__(
        self,
        executor: Executor,
        job: Job[Item, Row],
        suspects: Iterable[Shard[Item]],
        stall_seconds: float,
    ) -> None:
        super().__init__(executor, job, lambda: 1, stall_seconds)
        self._again.extend(part for shard in suspects for part in self._halves(shard) or [shard])

    def _died(self, shard: Shard[Item]) -> Finished[Item, Row] | None:
        halves = self._halves(shard)
        self._again.extendleft(reversed(halves))
        if halves:
            return None
        self._check_workers()
        return Finished(shard, self._job.killed(shard))

    def _halves(self, shard: Shard[Item]) -> list[Shard[Item]]:
        return halved(shard) if self._job.is_divisible else []

    def _check_workers(self) -> None:
        try:
            self._executor.submit(self._job.try_without_image).result(timeout=self._stall_seconds)
        except (KilledWorker, CancelledError, TimeoutError) as error:
            raise WorkersDie("worker processes die even without an image: see their logs") from error

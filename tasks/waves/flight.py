"""Shards under way: sent to workers, taken back, given up, and cut smaller where they kill their worker."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Generic
from uuid import uuid4

from distributed import KilledWorker

from infra.errors import TransientError
from tasks.waves.executors import SCHEDULER_GONE, Answer, Executor
from tasks.waves.stage import Finished, Item, Job, Row, Shard, given_up

BEAT_SECONDS = 0.5
"""How long `Flight.results` waits for a shard before it lets its caller do something else."""


class WorkersDie(TransientError):
    """Worker processes die whatever they do."""


class Flight(Generic[Item, Row]):
    """Shards on their way to workers and back.

    Parameters
    ----------
    executor : Executor
        The workers.
    job : Job
        What they do with each shard.
    window : int
        Most shards that are handed over and not back yet.
    stall_seconds : float
        Where no shard comes back for this long, workers are taken to hang, and all shards are given up.
    priority : int
        Higher: shards go before what waits already.
    """

    def __init__(
        self,
        executor: Executor,
        job: Job[Item, Row],
        window: int,
        stall_seconds: float,
        priority: int = 0,
    ) -> None:
        self.suspects: list[Shard[Item]] = []
        """Shards that lost their worker again and again: another shard on the same worker may have killed it."""
        self._executor = executor
        self._job = job
        self._window = window
        self._stall_seconds = stall_seconds
        self._priority = priority
        self._again: deque[Shard[Item]] = deque()
        self._flying: dict[Answer, Shard[Item]] = {}
        self._arrived: SimpleQueue[Answer] = SimpleQueue()
        self.closed_by: str | None = None
        """Why no more shards are sent."""

    def results(self, shards: Iterator[Shard[Item]]) -> Iterator[Finished[Item, Row] | None]:
        """Send shards and yield them as they come back; None after each half second in which none does.

        What a worker did not begin in time is sent again, before new shards.

        Raises
        ------
        TransientError
            If there are no workers any more, or they die whatever they do.
        """
        heard = time.monotonic()
        while self._fill(shards):
            answer = self._next_arrival()
            if answer is not None:
                heard = time.monotonic()
                finished = self._landed(self._flying.pop(answer), answer)
                if finished is not None:
                    yield finished
            elif time.monotonic() - heard >= self._stall_seconds:
                yield from self._give_up_flying()
            else:
                yield None
        if self.closed_by is not None:
            for shard in self._again:
                yield given_up(shard, self.closed_by)

    def first_index(self) -> int | None:
        """Return the lowest index of the shards that are still under way."""
        indices = [shard.index for shard in (*self._flying.values(), *self._again)]
        return min(indices, default=None)

    def _fill(self, shards: Iterator[Shard[Item]]) -> bool:
        while len(self._flying) < self._window and self.closed_by is None:
            shard = self._again.popleft() if self._again else next(shards, None)
            if shard is None:
                break
            answer = self._send(shard)
            self._flying[answer] = shard
            answer.add_done_callback(self._arrived.put)
        return bool(self._flying)

    def _send(self, shard: Shard[Item]) -> Answer:
        # Tasks of one group wait at the scheduler, not at a worker that another one might kill.
        key = (f"derain-shard-{self._job.run_id}", shard.index, uuid4().hex)
        return self._executor.submit(self._job.do, shard, key=key, priority=self._priority)

    def _next_arrival(self) -> Answer | None:
        try:
            return self._arrived.get(timeout=min(BEAT_SECONDS, self._stall_seconds))
        except Empty:
            return None

    def _landed(self, shard: Shard[Item], answer: Answer) -> Finished[Item, Row] | None:
        try:
            result = answer.result(timeout=self._stall_seconds)
        except KilledWorker:
            return self._died(shard)
        except TimeoutError:  # it is done, but its worker does not hand out the result
            self.closed_by = self._stalled()
            return given_up(shard, self.closed_by)
        except CancelledError:
            self.closed_by = SCHEDULER_GONE
            return given_up(shard, self.closed_by)
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
            " workers hang or are gone, look at their logs"
        )


class Quarantine(Flight[Item, Row]):
    """Suspects, run one at a time once all else is through: what dies now was killed by nobody else.

    A shard that kills its workers is halved, and its halves are run, down to the one item that does it.

    Raises
    ------
    WorkersDie
        From `results`: workers die whatever they do, no item is to blame.
    """

    def __init__(
        self,
        executor: Executor,
        job: Job[Item, Row],
        suspects: Iterable[Shard[Item]],
        stall_seconds: float,
    ) -> None:
        super().__init__(executor, job, 1, stall_seconds)
        self._again.extend(part for shard in suspects for part in job.halves(shard) or [shard])

    def _died(self, shard: Shard[Item]) -> Finished[Item, Row] | None:
        halves = self._job.halves(shard)
        self._again.extendleft(reversed(halves))
        if halves:
            return None
        self._check_workers()
        return Finished(shard, self._job.killed(shard))

    def _check_workers(self) -> None:
        try:
            self._executor.submit(self._job.try_without_image).result(timeout=self._stall_seconds)
        except (KilledWorker, CancelledError, TimeoutError) as error:
            raise WorkersDie("worker processes die even without an image: look at their logs") from error

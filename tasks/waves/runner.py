"""The runner of all stages (`run_stage`): sends shards to workers and commits the returned rows every few seconds.

A wave is the set of shards that one commit records. It ends when its shards have returned, `COMMIT_SECONDS` after
the first of them returned, or when the run is interrupted. Shards are sent ahead of it so that workers do not wait
for commits.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic

from infra.errors import STORAGE_ERRORS, TransientError
from infra.failpoints import failpoint
from infra.settings import Settings
from infra.storage.lease import Lease, LeaseLost
from tasks.prefect_runs import interrupt_errors
from tasks.waves.executors import Executor
from tasks.waves.flight import Flight, Quarantine
from tasks.waves.signals import sigterm_as_exit, uninterrupted
from tasks.waves.stage import Finished, Item, Row, Shard, Stage
from tasks.waves.tally import Tally
from tasks.waves.task_runs import as_task_run

COMMIT_SECONDS = 8.0
"""Maximum time that rows wait for their commit; as a shard takes a few seconds, a kill loses little work."""

Listener = Callable[[Tally], None]
"""Called after each shard with the tally of all returned items, recorded or not."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The amount of work in flight, and the time limit."""

    wave_shards: int
    """Largest number of shards per worker that one commit records."""
    stall_seconds: float
    """If no shard returns for this long, the run ends."""
    priority: int = 0
    """Shards of higher priority overtake those that wait at the workers."""

    @classmethod
    def of(cls, settings: Settings) -> Pace:
        """Return the pace that the settings specify."""
        return cls(settings.wave_shards, settings.stall_seconds)


def run_stage(
    stage: Stage[Item, Row], lease: Lease, executor: Executor, pace: Pace, listener: Listener
) -> Tally:
    """Process all shards of a stage and record their rows.

    The run ends early if storage or workers fail: a whole wave of shards without rows, workers that hang, or a
    failed commit. Results that have returned by then are recorded. Shards of which each item failed for a reason of
    its own, such as deleted images, do not count: they would hide all later shards in every run.

    Parameters
    ----------
    stage : Stage
        Provides the shards and commits their rows.
    lease : Lease
        The lease, which this run must still hold at each commit.
    executor : Executor
        Runs the work.
    pace : Pace
        The amount of work in flight.
    listener : callable
        Displays progress.

    Returns
    -------
    Tally
        Counts of recorded and pending items, with reasons.
    """
    run = _StageRun(stage, lease, executor, pace, listener)
    with sigterm_as_exit():
        try:
            run.work()
        except interrupt_errors():
            run.record_now()
            raise
    return run.tally


class _StageRun(Generic[Item, Row]):
    """One run of a stage."""

    def __init__(
        self, stage: Stage[Item, Row], lease: Lease, executor: Executor, pace: Pace, listener: Listener
    ) -> None:
        self.tally = Tally()
        self._stage, self._lease, self._executor, self._pace = stage, lease, executor, pace
        self._listener = listener
        self._shown = Tally()
        self._wave_numbers = itertools.count(1)
        self._returned: list[Finished[Item, Row]] = []
        self._waiting_since = 0.0
        self._shards_without_rows = 0
        self._is_recording = False
        self._flight: Flight[Item, Row] | None = None

    def work(self) -> None:
        """Run all shards, then run those that killed their workers one at a time."""
        job, pace = self._stage.job, self._pace
        flight = Flight(self._executor, job, self._window, pace.stall_seconds, pace.priority)
        shards = self._stage.shards(self._executor.workers)
        succeeded = self._collect(flight, shards)
        if succeeded and flight.suspects:
            quarantine = Quarantine(self._executor, job, flight.suspects, pace.stall_seconds)
            succeeded = self._collect(quarantine, iter(()))
        self.tally.has_ended_early = not succeeded

    @property
    def _wave_shards(self) -> int:
        """Largest number of shards that one commit records."""
        return self._pace.wave_shards * self._executor.workers

    def _window(self) -> int:
        """Return the largest number of shards in flight."""
        return max(1, self._executor.waves_ahead * self._wave_shards)

    def record_now(self) -> None:
        """Record returned results when the run is interrupted, without Prefect, which may be unavailable."""
        if self._is_recording:  # a second interrupt left the commit; no other run may start before it ends
            self._lease.abandon()
        elif ready := self._ready():
            self._record(ready)

    def _collect(self, flight: Flight[Item, Row], shards: Iterator[Shard[Item]]) -> bool:
        """Collect shards and record them; return whether the run may continue."""
        self._flight = flight
        try:
            for finished in flight.results(shards):
                if finished is not None:
                    self._add(finished)
                if self._is_due() and not self._commit():
                    return False
                if self._shards_without_rows >= self._wave_shards and flight.closed_by is None:
                    break
        except TransientError as fault:
            self.tally.stopped_by = str(fault)
        self._flight = None  # no earlier shard returns from now on
        worked = self._commit() and self.tally.stopped_by is None
        return worked and flight.closed_by is None and self._shards_without_rows < self._wave_shards

    def _add(self, finished: Finished[Item, Row]) -> None:
        if not self._returned:
            self._waiting_since = time.monotonic()
        self._returned.append(finished)
        if finished.result.records:
            self._shards_without_rows = 0
        elif not all(item.of_one_object for item in finished.result.unfinished):
            self._shards_without_rows += 1
        self._shown.add(finished.result, self._stage.outcome)
        self._listener(self._shown)

    def _is_due(self) -> bool:
        waited = time.monotonic() - self._waiting_since
        return bool(self._returned) and (len(self._returned) >= self._wave_shards or waited >= COMMIT_SECONDS)

    def _commit(self) -> bool:
        """Record what can be recorded, as a task run; return whether it succeeded."""
        ready = self._ready()
        if not ready:
            return True
        try:
            uninterrupted(
                lambda: as_task_run(
                    self._stage.wave_name, next(self._wave_numbers), lambda: self._record(ready)
                )
            )
        except (*STORAGE_ERRORS, LeaseLost) as fault:  # the next run remakes outputs without rows
            self.tally.stopped_by = str(fault)
            self._returned = []
            self._show()
            return False
        failpoint("between-waves")
        return True

    def _ready(self) -> list[Finished[Item, Row]]:
        """Return the results that may be recorded: all returned ones or, if order matters, the leading ones."""
        if not self._stage.in_order:
            return self._returned
        first = self._flight.first_index() if self._flight is not None else None
        ready = [finished for finished in self._returned if first is None or finished.shard.index < first]
        return sorted(ready, key=lambda finished: finished.shard.index)

    def _record(self, ready: list[Finished[Item, Row]]) -> None:
        self._is_recording = True
        try:
            self._lease.check()
            withdrawn = self._stage.commit(ready)
        except Exception:
            self._is_recording = False
            raise
        for finished in ready:
            self.tally.add(finished.result, self._stage.outcome)
        self.tally.withdraw(withdrawn)
        recorded = {id(finished) for finished in ready}
        self._returned = [finished for finished in self._returned if id(finished) not in recorded]
        self._waiting_since = time.monotonic()
        self._is_recording = False
        if withdrawn:
            self._show()

    def _show(self) -> None:
        """Show the corrected counts after a reported result was withdrawn."""
        self._shown = self.tally.snapshot()
        for finished in self._returned:
            self._shown.add(finished.result, self._stage.outcome)
        self._listener(self._shown)

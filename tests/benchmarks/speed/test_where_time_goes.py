from __future__ import annotations

import os
from typing import Any, cast

import pytest

from benchmarks.common.process_tree import ProcessTree, Sample
from benchmarks.speed.where_time_goes import CORES, Job, core_parts, rows_of_view, worker_parts
from tasks.workers.timing import Phase, ShardTiming

COORDINATOR, WORKERS, SERVER = 1, (2, 3), 9


def timing(worker: int, began: float, ended: float, **seconds: float) -> ShardTiming:
    of = {phase: seconds.get(phase.name.lower(), 0.0) for phase in Phase}
    in_line = sum(of.values()) - of[Phase.FETCH] - of[Phase.PUT]
    return ShardTiming(worker, began, ended, in_line + 0.1, of, of)


@pytest.fixture
def job() -> Job:
    """Return a job of 20 seconds on two cores: 5 to start, 12 of work, 3 to end."""
    tree = cast(Any, ProcessTree.__new__(ProcessTree))
    tree.samples = [
        Sample(0.0, {}, idle=100.0, busy=200.0),
        Sample(5.0, {1: 3.0, 2: 1.0, 3: 1.0, 9: 2.0}, idle=102.0, busy=208.0),
        Sample(17.0, {1: 4.0, 2: 12.0, 3: 11.0, 9: 2.5}, idle=102.5, busy=231.5),
        Sample(20.0, {1: 5.0, 2: 12.5, 3: 11.5, 9: 3.0}, idle=105.0, busy=235.0),
    ]
    shards = [
        timing(2, 6.0, 10.0, derain=3.0, decode=0.5, fetch=0.2),
        timing(2, 10.5, 16.0, derain=4.5, encode=0.5, put=0.1),
        timing(3, 6.5, 15.0, derain=7.0, await_fetch=0.3),
    ]
    return Job(tree, COORDINATOR, shards, 0.25, 0.05, 0.0, 5.0, 17.0, 20.0)


def test_times_of_the_cores_sum_to_cores_times_wall(job: Job):
    parts = list(core_parts(job))
    assert sum(part.seconds for part in parts) == pytest.approx(2 * 20.0)
    assert all(part.seconds >= 0 for part in parts)
    found = {(part.span, part.what): part.seconds for part in parts}
    assert found["work", "workers: derain"] == 14.5
    assert found["work", "coordinator: commits"] == 0.25
    assert found["work", "coordinator: dispatch and the rest"] == 0.75
    assert found["work", "idle"] == 0.5
    assert found["start", "other programs"] == pytest.approx(1.0)
    assert found["end", "workers"] == pytest.approx(1.0)


def test_times_of_the_workers_sum_to_workers_times_wall(job: Job):
    parts = list(worker_parts(job))
    assert sum(part.seconds for part in parts) == pytest.approx(2 * 20.0)
    found = {(part.span, part.what): part.seconds for part in parts}
    assert found["work", "wait for the first shard"] == 2.5
    assert found["work", "wait for the next shard"] == 0.5
    assert found["work", "after the last shard"] == 3.0
    assert found["start", "before workers are there"] == 10.0


def test_rows_are_shares_of_the_whole_and_end_with_the_sum(job: Job):
    rows = rows_of_view(CORES, list(core_parts(job)), 40.0)
    assert (rows[-1].what, rows[-1].share) == ("sum", 1.0)
    assert {row.span for row in rows} == {"start", "work", "end", "all"}


def test_a_process_tree_counts_a_process_that_computes():
    with ProcessTree(os.getpid()) as tree:
        sum(range(20_000_000))
    first, last = tree.samples[0], tree.samples[-1]
    assert tree.cpu_between(first.at, last.at, {os.getpid()}) > 0
    assert tree.machine_between(first.at, last.at)[1] > 0
    assert os.getpid() in tree.pids
    half = tree.cpu_between(first.at, (first.at + last.at) / 2, {os.getpid()})
    assert 0 < half <= tree.cpu_between(first.at, last.at, {os.getpid()})

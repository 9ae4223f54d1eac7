"""Exactly one of the processes and threads that race for a lease wins."""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.storage.lease import (
    LeaseHeld,
    lease_location,
)
from tests.support.servers import forked
from tests.support.worlds.batch import PATIENCE
from tests.support.worlds.leases import files, lease


@pytest.fixture(params=["folder", pytest.param("bucket", marks=[pytest.mark.ceph, pytest.mark.slow])])
def workspace(request, tmp_path) -> str:
    """Return a folder or a bucket of the real object gateway."""
    return str(tmp_path) if request.param == "folder" else f"{request.getfixturevalue('bucket')}/work space"


def _race(workspace: str, barrier, outcomes, number: int) -> None:
    location = lease_location(workspace)
    for turn in range(10):
        barrier.wait()
        try:
            with lease(location, f"run-{number}", destination=f"{turn}") as held:
                held.check()
                outcomes.put((turn, number))
                barrier.wait()
        except LeaseHeld:
            barrier.wait()


def test_exactly_one_of_racing_processes_wins(workspace):
    barrier, outcomes = forked.forks().Barrier(3, timeout=60), forked.forks().Queue()
    racers = [forked.start(_race, workspace, barrier, outcomes, number) for number in range(3)]
    winners = Counter(outcomes.get(timeout=60)[0] for _ in range(10))
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert outcomes.empty()
    assert winners == dict.fromkeys(range(10), 1)


def test_racing_threads_never_work_at_once(workspace):
    """Generations are created, taken over and removed all the time, over many releases and acquisitions."""
    leases = lease_location(workspace)
    working = threading.Lock()
    done = Counter()

    def work(number: int) -> None:
        until = time.monotonic() + PATIENCE
        while done[number] < 15 and time.monotonic() < until:
            try:
                with lease(leases, f"run-{number}") as held:
                    assert working.acquire(blocking=False), "two at once"
                    held.check()
                    working.release()
                    done[number] += 1
            except LeaseHeld:
                time.sleep(0.001)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert dict(done) == dict.fromkeys(range(4), 15)
    assert len(files(leases)) == 1

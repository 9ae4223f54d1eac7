"""A destination has one coordinator at a time, and a dead one causes no wait."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from infra.errors import AccessDenied, ObjectNotFound, TransientError
from infra.process_identity import Holder
from infra.storage.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    LeaseUnreadable,
    held_leases,
    lease_location,
)
from infra.storage.lease_file import GRACE, LeaseContent, decode
from tests.support.servers import forked
from tests.support.worlds.batch import PATIENCE

DESTINATION = "s3://bucket/derained photos"


@pytest.fixture
def leases(tmp_path: Path):
    return lease_location(str(tmp_path))


@pytest.fixture(params=["folder", pytest.param("bucket", marks=[pytest.mark.ceph, pytest.mark.slow])])
def workspace(request, tmp_path) -> str:
    """Return a folder or a bucket of the real object gateway."""
    return str(tmp_path) if request.param == "folder" else f"{request.getfixturevalue('bucket')}/work space"


@pytest.fixture
def elsewhere(monkeypatch):
    """Make the leases taken from now on look like those of another machine."""
    here = Holder.this_process()
    monkeypatch.setattr(Holder, "this_process", lambda: replace(here, machine="other", host="other-host"))


def lease(leases, run_id: str = "run-1", seconds: float = 60.0, destination: str = DESTINATION) -> Lease:
    return Lease(leases, destination, run_id, seconds)


def files(leases) -> list[str]:
    return sorted(ref.key for ref in leases.list())


def content(leases) -> dict:
    return json.loads(leases.fetch(files(leases)[-1]))


def test_a_second_one_is_refused_with_the_holder(leases):
    with lease(leases) as held:
        held.check()
        with pytest.raises(LeaseHeld) as refusal, lease(leases, "run-2"):
            pass
        message = str(refusal.value)
        assert DESTINATION in message
        assert f"run run-1 on {Holder.this_process().host}, process {os.getpid()}, since 2" in message
        assert "lease until 2" in message
        held.check()


def test_another_destination_is_free(leases):
    with lease(leases), lease(leases, destination="elsewhere") as other:
        other.check()


INSIDE = f"{DESTINATION}/2026/day"


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [(DESTINATION, INSIDE, "lies inside"), (INSIDE, DESTINATION, "contains")],
)
def test_a_destination_above_or_below_one_under_way_is_refused(leases, first, second, says):
    with lease(leases, destination=first) as held:
        with (
            pytest.raises(LeaseHeld, match=f"^{second} {says} {first}, which is being written: run run-1 on"),
            lease(leases, "run-2", destination=second),
        ):
            pass
        held.check()
    with lease(leases, "run-2", destination=second) as later:
        later.check()


@pytest.mark.parametrize("name", [f"{DESTINATION} 2", f"{DESTINATION}-old/day", "s3://bucket/other"])
def test_a_destination_next_to_one_under_way_is_free(leases, name):
    with lease(leases), lease(leases, "run-2", destination=name) as other:
        other.check()


def test_of_two_that_start_at_once_above_and_below_one_is_refused(leases, monkeypatch):
    create = type(leases).create

    def created(self, key, data):
        monkeypatch.setattr(type(leases), "create", create)
        is_created = create(self, key, data)
        with (  # comes before the first one has looked around
            pytest.raises(LeaseHeld, match="lies inside"),
            lease(leases, "run-2", destination=INSIDE),
        ):
            pass
        return is_created

    monkeypatch.setattr(type(leases), "create", created)
    with lease(leases) as held:
        held.check()


@pytest.mark.parametrize("step", ["check", "renewal"])
def test_one_that_slept_while_a_destination_below_was_taken_commits_nothing_more(
    leases, elsewhere, monkeypatch, step
):
    renew = Lease._renew
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    with lease(leases, seconds=0.3) as slow:
        time.sleep(0.3 * (1 + GRACE) + 0.1)
        with lease(leases, "run-2", destination=INSIDE) as below:
            if step == "renewal":
                renew(slow)
            with pytest.raises(LeaseLost):
                slow.check()
            below.check()


def test_a_released_lease_is_taken_at_once_and_leaves_one_file(leases):
    for number in range(3):
        with lease(leases, f"run-{number}") as held:
            held.check()
        assert content(leases)["released"]
    assert len(files(leases)) == 1
    assert files(leases)[0].endswith(".000000003.json")


def test_an_earlier_lease_that_another_user_wrote_may_stay(leases, monkeypatch):
    with lease(leases):
        pass

    def denied(location, key):
        raise AccessDenied(f"{key}: not yours")

    monkeypatch.setattr(type(leases), "delete", denied)
    with lease(leases, "run-2") as held:
        held.check()
        assert len(files(leases)) == 2
    assert held_leases(leases) == []


def test_it_is_released_when_the_work_fails(leases):
    with pytest.raises(ZeroDivisionError), lease(leases):
        raise ZeroDivisionError
    with lease(leases, "run-2"):
        pass


def test_it_is_renewed_while_the_work_continues(leases, elsewhere):
    with lease(leases, seconds=0.6) as held:
        first = content(leases)["expires_at"]
        time.sleep(1.2)
        held.check()
        assert content(leases)["expires_at"] > first + 0.5
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass


def test_an_expired_one_is_taken_over_and_its_holder_notices(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    with lease(leases, seconds=0.3) as slow:
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass
        time.sleep(0.3 * (1 + GRACE) + 0.1)
        with lease(leases, "run-2") as taken:
            with pytest.raises(LeaseLost, match="another run took it over"):
                slow.check()
            with pytest.raises(LeaseLost):
                slow.check()
            taken.check()
    assert content(leases)["run_id"] == "run-2", "the loser wrote over the winner's lease"


def test_one_that_slept_through_its_time_takes_it_again_if_nobody_came(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    with lease(leases, seconds=0.3) as slow:
        (expired,) = files(leases)
        time.sleep(0.3 * (1 + GRACE) + 0.1)
        slow.check()
        (taken,) = files(leases)
        assert taken > expired, "another one that had looked before could take it over all the same"
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass


def test_of_a_sleeper_and_its_successor_only_one_continues(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    create = type(leases).create
    with lease(leases, seconds=0.3) as slow, ExitStack() as later:
        time.sleep(0.3 * (1 + GRACE) + 0.1)

        def overtaken(self, key, data):
            monkeypatch.setattr(type(leases), "create", create)
            later.enter_context(
                lease(leases, "run-2")
            )  # comes between the sleeper's listing and its take-over
            return create(self, key, data)

        monkeypatch.setattr(type(leases), "create", overtaken)
        with pytest.raises(LeaseLost, match="another run took it over"):
            slow.check()
    assert content(leases)["run_id"] == "run-2"


def test_renewing_outlives_faults_shorter_than_the_lease(leases, monkeypatch):
    put = type(leases).put
    failures = [TransientError("503"), AccessDenied("lapsed"), ObjectNotFound("no bucket")]

    def failing(self, key, data):
        if failures:
            raise failures.pop()
        put(self, key, data)

    monkeypatch.setattr(type(leases), "put", failing)
    with lease(leases, seconds=1.5) as held:
        time.sleep(2.5)
        assert not failures
        held.check()


@pytest.mark.parametrize(
    "fault", [TransientError("503"), AccessDenied("lapsed"), ObjectNotFound("no bucket")]
)
def test_a_lease_that_cannot_be_released_does_not_hide_the_work(leases, monkeypatch, caplog, fault):
    with lease(leases):

        def failing(self, key, data):
            raise fault

        monkeypatch.setattr(type(leases), "put", failing)
    assert "expires by itself" in caplog.text


def test_a_file_that_is_no_lease_is_named(leases):
    with lease(leases):
        pass
    leases.put(files(leases)[0], b"[]")
    with pytest.raises(LeaseUnreadable, match=r"000000001.json is no lease"), lease(leases):
        pass


def _hold(workspace: str, ready) -> None:
    with lease(lease_location(workspace), "killed", seconds=600):
        ready.set()
        time.sleep(600)


def test_a_killed_holder_on_this_machine_costs_no_waiting(leases, tmp_path):
    ready = forked.forks().Event()
    holder = forked.start(_hold, str(tmp_path), ready)
    assert ready.wait(60)
    with pytest.raises(LeaseHeld, match="run killed"), lease(leases):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    while not current(leases).holder.is_dead():  # a zombie at first, since nobody has waited for it
        time.sleep(0.01)
    with lease(leases, "heir") as heir:
        heir.check()
    holder.join()


def current(leases) -> LeaseContent:
    return decode(leases.fetch(files(leases)[-1]))


def test_it_knows_whether_the_run_before_died(leases):
    with lease(leases, "first") as first, pytest.raises(KeyboardInterrupt):
        raise KeyboardInterrupt
    with lease(leases, "second") as second:
        pass
    killed = lease(leases, "killed", seconds=0.0)
    assert killed._try_acquire()
    with lease(leases, "third") as third:
        pass
    assert (first.follows_death, second.follows_death, third.follows_death) == (False, False, True)


def test_a_process_id_that_is_used_again_is_another_process():
    here = Holder.this_process()
    assert not here.is_dead()
    assert replace(here, started=here.started - 100).is_dead()
    assert replace(here, pid=2**22 + 1).is_dead()
    assert not replace(here, pid=2**22 + 1, machine="another").is_dead()


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


def test_of_racing_processes_exactly_one_wins(workspace):
    barrier, outcomes = forked.forks().Barrier(3, timeout=60), forked.forks().Queue()
    racers = [forked.start(_race, workspace, barrier, outcomes, number) for number in range(3)]
    winners = Counter(outcomes.get(timeout=60)[0] for _ in range(10))
    for racer in racers:
        racer.join()
    assert [racer.exitcode for racer in racers] == [0, 0, 0]
    assert outcomes.empty()
    assert winners == dict.fromkeys(range(10), 1)


def test_of_racing_threads_never_two_work_at_once(workspace):
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


def test_one_that_slept_between_looking_and_creating_does_not_win(leases, monkeypatch):
    """Meanwhile, others acquire, release, and remove the generation that it is about to create."""
    sleeper = lease(leases, "sleeper")
    create = type(leases).create
    sleeping = [True]

    def create_after_sleep(self, key, data):
        if sleeping:
            sleeping.pop()
            for number in range(2):
                with lease(leases, f"other-{number}"):
                    pass
            holder.__enter__()
        return create(self, key, data)

    holder = lease(leases, "holder")
    monkeypatch.setattr(type(leases), "create", create_after_sleep)
    with pytest.raises(LeaseHeld, match="run holder"), sleeper:
        pass
    holder.check()
    holder.__exit__(None, None, None)
    assert len(files(leases)) == 1

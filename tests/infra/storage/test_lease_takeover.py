"""A lease is renewed while its holder works, and taken over once it is dead or has slept too long."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from infra.errors import AccessDenied, ObjectNotFound, TransientError
from infra.process_identity import Holder
from infra.storage.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    lease_location,
)
from infra.storage.lease_file import GRACE
from tests.support.servers import forked
from tests.support.worlds.leases import content, current, files, lease

BRIEF = 1.0
"""Seconds of a lease that expires in a test: enough that a busy machine checks it while it is still held."""


def test_it_is_renewed_while_the_work_continues(leases, elsewhere):
    with lease(leases, seconds=2 * BRIEF) as held:
        first = content(leases)["expires_at"]
        time.sleep(3 * BRIEF)
        held.check()
        assert content(leases)["expires_at"] > first + 0.5
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass


def test_an_expired_one_is_taken_over_and_its_holder_notices(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    with lease(leases, seconds=BRIEF) as slow:
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass
        time.sleep(BRIEF * (1 + GRACE) + 0.1)
        with lease(leases, "run-2") as taken:
            with pytest.raises(LeaseLost, match="another run took it over"):
                slow.check()
            with pytest.raises(LeaseLost):
                slow.check()
            taken.check()
    assert content(leases)["run_id"] == "run-2", "the loser wrote over the winner's lease"


def test_a_holder_that_slept_past_expiry_takes_the_lease_again_if_it_is_free(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    with lease(leases, seconds=BRIEF) as slow:
        (expired,) = files(leases)
        time.sleep(BRIEF * (1 + GRACE) + 0.1)
        slow.check()
        (taken,) = files(leases)
        assert taken > expired, "another one that had looked before could take it over all the same"
        with pytest.raises(LeaseHeld), lease(leases, "run-2"):
            pass


def test_only_one_of_a_sleeper_and_its_successor_continues(leases, elsewhere, monkeypatch):
    monkeypatch.setattr(Lease, "_renew", lambda self: None)
    create = type(leases).create
    with lease(leases, seconds=BRIEF) as slow, ExitStack() as later:
        time.sleep(BRIEF * (1 + GRACE) + 0.1)

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

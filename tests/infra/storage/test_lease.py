"""A destination has one coordinator at a time, and a dead one causes no wait."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import AccessDenied, ObjectNotFound, TransientError
from infra.process_identity import Holder
from infra.storage.lease import (
    Lease,
    LeaseHeld,
    LeaseLost,
    LeaseUnreadable,
    held_leases,
)
from infra.storage.lease_file import GRACE, forget_leases, held_contents
from tests.support.worlds.leases import DESTINATION, content, files, lease


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


def test_one_of_two_starts_above_and_below_is_refused(leases, monkeypatch):
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


@pytest.mark.parametrize(
    "fault", [TransientError("503"), AccessDenied("lapsed"), ObjectNotFound("no bucket")]
)
def test_a_lease_that_cannot_be_released_does_not_hide_the_work(leases, monkeypatch, caplog, fault):
    with lease(leases):

        def failing(self, key, data):
            raise fault

        monkeypatch.setattr(type(leases), "put", failing)
    assert "it will expire" in caplog.text


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (lambda fields: [], "should be an object"),
        (lambda fields: fields | {"seconds": "long"}, "seconds: Input should be a valid number"),
        (lambda fields: fields | {"holder": {}}, "holder: host: Field required"),
    ],
)
def test_a_file_that_is_not_a_lease_is_named(leases, broken, why):
    with lease(leases):
        pass
    (file,) = files(leases)
    leases.put(file, json.dumps(broken(json.loads(leases.fetch(file)))).encode())
    with pytest.raises(LeaseUnreadable, match=rf"000000001.json is not a lease \(.*{why}\)"), lease(leases):
        pass
    assert forget_leases(leases, datetime.now(UTC) + timedelta(days=1)) == 0
    assert list(held_contents(leases)) == []


def test_a_lease_of_a_later_version_with_more_fields_is_read(leases):
    with lease(leases):
        (file,) = files(leases)
        leases.put(file, json.dumps({**json.loads(leases.fetch(file)), "new": 1}).encode())
        assert len(list(held_contents(leases))) == 1

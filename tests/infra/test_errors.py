"""Retries: temporary errors are retried until the budget is used up, and permanent ones are raised at once."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from infra.errors import (
    CHANGED_ATTEMPTS,
    ObjectChanged,
    ObjectNotFound,
    ObjectStillChanging,
    RetryPolicy,
    StorageError,
    TransientError,
    one_line,
    printable,
    retry,
)

QUICK = RetryPolicy(budget_seconds=5.0, first_wait=0.001, longest_wait=0.01)


def failing(*errors: Exception) -> tuple[Callable[[], int], list[int]]:
    """Return an action that raises these errors in turn and then returns 7, and the list of its calls."""
    calls: list[int] = []

    def action() -> int:
        calls.append(len(calls))
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return 7

    return action, calls


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_faults_of_the_world_are_tried_again(count: int) -> None:
    action, calls = failing(*[TransientError("500")] * count)
    assert retry(action, QUICK, "s3://b/x") == 7
    assert len(calls) == count + 1


@pytest.mark.parametrize("error", [ObjectNotFound("gone"), StorageError("no"), ValueError("bug")])
def test_the_rest_is_not(error: Exception) -> None:
    action, calls = failing(error)
    with pytest.raises(type(error), match=str(error)):
        retry(action, QUICK, "s3://b/x")
    assert len(calls) == 1


def test_patience_ends_in_one_line() -> None:
    action, calls = failing(*[TransientError("time-out\nof the server")] * 10_000)
    with pytest.raises(
        StorageError, match=r"^s3://b/x: time-out of the server \(gave up after \d+ attempts\)$"
    ):
        retry(action, RetryPolicy(0.2, None, 0.001, 0.01), "s3://b/x")
    assert 1 < len(calls) < 10_000


def test_without_patience_there_is_one_attempt() -> None:
    action, calls = failing(TransientError("500"))
    with pytest.raises(StorageError, match="one attempt"):
        retry(action, RetryPolicy(0.0), "s3://b/x")
    assert len(calls) == 1


def test_a_replaced_object_is_not_waited_for() -> None:
    action, calls = failing(*[ObjectChanged("3 bytes instead of 4")] * 100)
    with pytest.raises(ObjectStillChanging, match="instead of 4"):
        retry(action, QUICK, "s3://b/x")
    assert len(calls) == CHANGED_ATTEMPTS


def test_waits_grow_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    action, _ = failing(*[TransientError("503")] * 200)
    retry(action, RetryPolicy(60.0, None, 0.2, 8.0), "x")
    assert len(waits) == 200
    assert waits[0] <= 0.2
    assert 4.0 < max(waits) <= 8.0


def test_a_preflight_is_not_patient_for_long() -> None:
    assert RetryPolicy(1.5).short().budget_seconds == 1.5
    assert RetryPolicy(45.0).short().budget_seconds < 5


def test_messages_are_one_line() -> None:
    assert one_line(OSError("a\n  b")) == "a b"
    assert one_line(OSError("\x1b[31mno such column\x1b[0m: k")) == "no such column: k"
    assert one_line(TimeoutError()) == "TimeoutError"
    assert len(one_line(ValueError("x" * 5000))) == 300
    assert printable("s3://b/é a.jpg") == "s3://b/é a.jpg"
    assert printable("s3://b/new\nline") == "s3://b/new\\nline"

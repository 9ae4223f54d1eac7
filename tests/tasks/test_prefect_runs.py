"""Pieces of work outside a flow run, or where Prefect's server is away."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

from infra.errors import AccessDenied
from tasks import prefect_runs, prefect_tasks
from tasks.prefect_runs import as_task_run, attempt, report


def _denied() -> None:
    raise AccessDenied("token lapsed")


def test_outside_a_flow_run_work_is_done_plainly_and_nothing_is_reported() -> None:
    done: list[str] = []
    as_task_run("wave", 1, lambda: done.append("work"))
    assert report("a table", lambda: done.append("table")) is None
    assert done == ["work"]
    with pytest.raises(AccessDenied):
        as_task_run("wave", 1, _denied)


def test_work_is_done_although_no_server_takes_its_task_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Gone:
        def with_options(self, **options: Any) -> Any:
            return self

        def __call__(self, *arguments: Any, **options: Any) -> None:
            raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(prefect_tasks, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(prefect_tasks, "_piece_run", Gone())
    done: list[int] = []
    as_task_run("wave", 1, lambda: done.append(1))
    assert done == [1]
    assert caplog.messages == ["wave-1 is not shown: ConnectError: connection refused"]


@pytest.mark.parametrize("error", [TimeoutError(), AccessDenied("lapsed"), RuntimeError("loop is closed")])
def test_what_comes_after_the_work_fails_as_a_warning(
    error: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    assert attempt("the page", fails) is None
    (line,) = caplog.messages
    assert line.startswith(f"the page could not be completed: {type(error).__name__}")


def test_a_server_that_does_not_answer_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    retries: list[int] = []

    def unanswered() -> None:
        retries.append(PREFECT_CLIENT_MAX_RETRIES.value())
        raise httpx.ReadTimeout("no answer")

    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(prefect_runs, "_silence", prefect_runs._Silence())
    for _ in range(3):
        assert report("the table", unanswered) is None
    assert retries == [1]
    prefect_runs._silence.until = 0.0  # as after a minute
    assert report("the table", lambda: "made") == "made"

"""Reports and task runs outside a flow run, or without Prefect's server."""

from __future__ import annotations

import logging

import httpx
import pytest
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES

from infra.errors import AccessDenied
from tasks import prefect_runs
from tasks.prefect_runs import attempt, report


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "TimeoutError"),
        (AccessDenied("lapsed"), "lapsed"),
        (RuntimeError("loop is closed"), "RuntimeError: loop is closed"),
    ],
)
def test_a_failure_after_the_work_is_a_warning(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    assert attempt("the page", fails) is None
    (line,) = caplog.messages
    assert line.startswith(f"the page could not be completed: {reason}")


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

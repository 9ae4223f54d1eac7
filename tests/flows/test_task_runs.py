"""Parts of a run as task runs of a flow run on a real server."""

from __future__ import annotations

import logging

import pytest
from prefect import flow

from infra.errors import AccessDenied
from tasks.waves.task_runs import as_task_run

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("server")
def test_work_that_storage_refuses_is_a_failed_task_run_without_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[str] = []

    def denied() -> None:
        raise AccessDenied("token lapsed")

    @flow
    def refused() -> None:
        try:
            as_task_run("wave", 7, denied)
        except AccessDenied as error:
            raised.append(str(error))

    with caplog.at_level(logging.INFO):
        refused()
    assert raised == ["token lapsed"]
    assert any("Failed('token lapsed')" in line for line in caplog.messages)
    tracebacks = [record.exc_info[1] for record in caplog.records if record.exc_info and record.exc_info[1]]
    assert tracebacks == []

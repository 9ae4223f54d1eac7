"""Waves are task runs if there is a flow run, and are processed without one as well."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest

from infra.errors import AccessDenied
from tasks import prefect_tasks
from tasks.prefect_runs import report
from tasks.waves import task_runs
from tasks.waves.task_runs import as_task_run


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

    monkeypatch.setattr(task_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(prefect_tasks, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(prefect_tasks, "_piece_run", Gone())
    done: list[int] = []
    as_task_run("wave", 1, lambda: done.append(1))
    assert done == [1]
    assert caplog.messages == ["wave-1 is not shown: ConnectError: connection refused"]

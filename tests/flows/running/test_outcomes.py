"""Log lines of a refused run in a Prefect worker."""

from __future__ import annotations

import logging
import subprocess
import sys
from uuid import uuid4

import pytest
from prefect import State
from prefect.client.schemas.objects import FlowRun
from prefect.engine import handle_engine_signals
from prefect.exceptions import FailedRun
from prefect.logging.loggers import flow_run_logger

from flows.running.outcomes import failed
from tests.support.servers.server_processes import ROOT

LOGS = ("prefect.flow_runs", "prefect.engine")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[logging.LogRecord]:
    """Return the records that the loggers of Prefect's engine let through."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    for name in LOGS:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [handler])
        monkeypatch.setattr(logging.getLogger(name), "propagate", False)
        monkeypatch.setattr(logging.getLogger(name), "filters", [])
    return records


def raised_by_the_engine(error: Exception) -> None:
    """Log an error as the engine does in a worker's process: first in `run_flow`, then in its caller."""
    run = FlowRun(id=uuid4(), name="tested", flow_id=uuid4())
    with pytest.raises(SystemExit), handle_engine_signals(run.id):
        _run_flow(run, error)


def _run_flow(run: FlowRun, error: Exception) -> None:
    try:
        raise error
    except Exception:
        flow_run_logger(run).error("Engine execution exited with unexpected exception", exc_info=True)
        raise


def test_a_refusal_is_not_logged_as_an_unexpected_exception(lines: list[logging.LogRecord]) -> None:
    assert failed("./rainy: No such file or directory").is_failed()
    raised_by_the_engine(FailedRun("./rainy: No such file or directory"))
    assert lines == []


UNEXPECTED = """
import logging
from flows.running.outcomes import failed
from tests.flows.running.test_outcomes import LOGS, raised_by_the_engine

records = []
handler = logging.Handler()
handler.emit = records.append
for name in LOGS:
    logging.getLogger(name).handlers = [handler]
    logging.getLogger(name).propagate = False
failed("an earlier refusal")
raised_by_the_engine(ZeroDivisionError("division by zero"))
print([record.exc_info is not None for record in records])
"""


def test_an_error_of_ours_is_logged_with_its_traceback() -> None:
    """The test needs a separate process: Prefect logs nothing where it has handled another run's outcome."""
    command = [sys.executable, "-c", UNEXPECTED]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.stdout == "[True, True]\n", ended.stderr


def test_a_refused_promotion_keeps_its_name() -> None:
    state: State[None] = failed("worse", name="Refused")
    assert (state.name, state.message) == ("Refused", "worse")

"""Progress of a run, with Prefect's artifact replaced by a list."""

from __future__ import annotations

import io
import logging
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from prefect.exceptions import TerminationSignal

from tasks import prefect_runs, progress
from tasks.progress import Progress
from tasks.waves.tally import Tally
from tasks.workers.unfinished import Unfinished

ONE = Tally(done=1, pixels=384, image_seconds=0.1)
ALL = ONE + Tally(rejected=1, image_seconds=0.1, unfinished=[Unfinished("c", "time-out")], unfinished_count=1)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, str]]:
    """Return the list of the artifact's states: its value and its description."""
    states: list[tuple[float, str]] = []

    def create(value: float, *, key: str, description: str) -> uuid.UUID:
        states.append((value, description))
        return uuid.UUID(int=1)

    def update(artifact_id: uuid.UUID, *, progress: float, description: str) -> None:
        assert artifact_id == uuid.UUID(int=1)
        states.append((progress, description))

    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(progress, "create_progress_artifact", create)
    monkeypatch.setattr(progress, "update_progress_artifact", update)
    return states


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write artifact and log for every shard."""
    monkeypatch.setattr(progress, "ARTIFACT_SECONDS", -1.0)
    monkeypatch.setattr(progress, "LOG_SECONDS", -1.0)


def test_a_run_with_nothing_to_do_makes_no_artifact(shown: list[tuple[float, str]]) -> None:
    with Progress(0):
        pass
    assert shown == []


@pytest.mark.usefixtures("at_once")
def test_the_artifact_goes_from_nothing_to_all(shown: list[tuple[float, str]]) -> None:
    with Progress(4) as shows:
        shows.show(ONE)
        shows.show(ALL)
    assert [value for value, _ in shown] == [0, 25, 75, 75]
    assert shown[0][1].startswith("0 of 4 images (0 rejected, 0 pending)")
    assert shown[-1][1].startswith("3 of 4 images (1 rejected, 1 pending)")


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, TerminationSignal])
def test_the_artifact_of_a_cancelled_run_says_so(
    shown: list[tuple[float, str]], interrupt: type[BaseException]
) -> None:
    def cancelled() -> None:
        with Progress(4) as shows:
            shows.show(ONE)
            raise interrupt(15)

    with pytest.raises(interrupt):
        cancelled()
    assert shown[-1][0] == 25
    assert shown[-1][1].startswith("cancelled: 1 of 4 images (0 rejected, 0 pending)")
    assert "left" not in shown[-1][1]


def test_many_shards_in_no_time_are_one_update(shown: list[tuple[float, str]]) -> None:
    with Progress(1000) as shows:
        for number in range(1000):
            shows.show(Tally(done=number + 1))
    assert len(shown) < 1000
    assert shown[-1][0] == 100


@pytest.mark.usefixtures("at_once")
def test_a_server_that_goes_away_does_not_stop_the_work(
    shown: list[tuple[float, str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(progress, "update_progress_artifact", gone)
    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    with Progress(2) as shows:
        shows.show(ONE)
    assert "the progress artifact could not be completed: ConnectError: connection refused" in caplog.messages


@pytest.mark.usefixtures("at_once")
def test_without_its_artifact_the_work_is_done_as_well(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("connection refused")

    monkeypatch.setattr(progress, "create_progress_artifact", gone)
    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(progress, "run_log", lambda: logging.getLogger("derain"))
    with caplog.at_level(logging.INFO), Progress(2) as shows:
        shows.show(ONE)
    warning, line = caplog.messages
    assert warning.startswith("the progress artifact could not be completed: ConnectError")
    assert line.startswith("1 of 2 images")


@pytest.mark.usefixtures("at_once", "shown")
def test_without_a_terminal_there_are_lines_in_the_log_and_no_bar(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stderr = io.StringIO()
    monkeypatch.setattr("sys.stderr", stderr)
    monkeypatch.setattr(progress, "run_log", lambda: logging.getLogger("derain"))
    with caplog.at_level(logging.INFO), Progress(2) as shows:
        shows.show(ONE)
    assert [line.partition(" (")[0] for line in caplog.messages] == ["1 of 2 images"]
    assert stderr.getvalue() == ""


@pytest.mark.usefixtures("at_once", "shown")
def test_on_a_terminal_there_is_a_bar_that_log_lines_do_not_break(
    monkeypatch: pytest.MonkeyPatch, logged_to: Callable[[io.StringIO], logging.Logger]
) -> None:
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    log = logged_to(stderr)
    with Progress(2) as shows:
        shows.show(ONE)
        log.warning("wave-1 finished")
    written = stderr.getvalue()
    assert "1/2" in written
    assert any(line.strip() == "wave-1 finished" for line in written.replace("\r", "\n").split("\n"))


@pytest.fixture
def logged_to(monkeypatch: pytest.MonkeyPatch) -> Callable[[io.StringIO], logging.Logger]:
    """Return a function that makes the root logger write to a stream, as Prefect does."""

    def to(stream: io.StringIO) -> logging.Logger:
        monkeypatch.setattr(logging.root, "handlers", [logging.StreamHandler(stream)])
        return logging.getLogger("anyone")

    return to

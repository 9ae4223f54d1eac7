"""Work that interrupts wait for."""

from __future__ import annotations

import contextvars
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from tasks.waves.signals import uninterrupted
from tests.support.interrupts import InterruptedTwice

Handler = Callable[[int, FrameType | None], None]


class Cancelled(BaseException):
    """The exception that the handler of the test raises."""


@pytest.fixture
def handler() -> Iterator[Handler]:
    """Install a handler of SIGTERM that raises, as Prefect's does."""

    def cancel(number: int, frame: FrameType | None) -> None:
        raise Cancelled

    before = signal.signal(signal.SIGTERM, cancel)
    yield cancel
    signal.signal(signal.SIGTERM, before)


def test_the_result_and_the_exceptions_of_the_work_are_its_own() -> None:
    def fail() -> None:
        raise OSError("disk full")

    assert uninterrupted(lambda: 3) == 3
    with pytest.raises(OSError, match="disk full"):
        uninterrupted(fail)


def test_the_handler_of_sigterm_stays_in_place(handler: Handler) -> None:
    """Prefect accepts a cancellation only while its own handler is installed; otherwise the run crashes."""
    assert uninterrupted(lambda: signal.getsignal(signal.SIGTERM)) is handler


def test_the_work_sees_the_context_of_its_caller() -> None:
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("flow run")
    assert uninterrupted(variable.get) == "flow run"


@pytest.mark.usefixtures("handler")
def test_an_interrupt_is_raised_after_the_work() -> None:
    steps = []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        threading.Event().wait(0.2)
        steps.append("worked")

    with pytest.raises(Cancelled):
        uninterrupted(work)
    assert steps == ["worked"]


def test_a_second_interrupt_is_raised_at_once() -> None:
    begun, released, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        released.wait(60)
        ended.set()

    with InterruptedTwice().sent_after(begun), pytest.raises(SystemExit):
        uninterrupted(work)
    assert not ended.is_set()
    released.set()
    assert ended.wait(60)


def test_outside_the_main_thread_the_work_runs_where_it_is() -> None:
    threads = []

    def run() -> None:
        uninterrupted(lambda: threads.append(threading.current_thread()))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert threads == [thread]

"""Signals that interrupt a run (`sigterm_as_exit`, `uninterrupted`): finished work is still recorded."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, by the convention of shells."""


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Raise `SystemExit` in the block on SIGTERM, unless a handler is already installed, as by Prefect in a flow.

    Without a handler, SIGTERM would end the process at once and lose rows that wait for their commit.
    """
    in_main = threading.current_thread() is threading.main_thread()  # Python can set handlers only there
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def uninterrupted(work: Callable[[], T]) -> T:
    """Do work, for example a commit, that Ctrl-C and SIGTERM do not interrupt; they are raised when it has ended.

    Python raises interrupts in the main thread, so the work gets a thread of its own. The handlers of the signals
    stay in place: Prefect makes a cancelled run crash if its handler is not installed at that moment.

    Raises
    ------
    BaseException
        Any exception of the work, or the interrupt. A second interrupt is raised at once; the work continues.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()
    result: Future[T] = Future()
    thread = threading.Thread(target=copy_context().run, args=(_complete, result, work), daemon=True)
    try:
        thread.start()
        wait([result])
    except BaseException:
        if not result.cancel():  # the work has begun
            wait([result])
        raise
    return result.result()


def _complete(result: Future[T], work: Callable[[], T]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        result.set_result(work())
    except BaseException as error:  # noqa: BLE001 - it is raised again in the main thread
        result.set_exception(error)

"""Handling of Ctrl-C in the training commands: one line, exit code 130, and no finished step is lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130


@contextmanager
def one_line_on_ctrl_c() -> Iterator[None]:
    """Exit in one line after Ctrl-C.

    Import heavy packages within the context: PyTorch alone takes seconds.

    Raises
    ------
    SystemExit
        After Ctrl-C, with code 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process is ending already
        sys.stderr.write("interrupted; run the same command again to continue\n")
        raise SystemExit(EXIT_CODE) from None


@contextmanager
def deferred_ctrl_c(active: bool = True) -> Iterator[Callable[[], bool]]:
    """Record Ctrl-C instead of raising it, so that a loop can end between two steps; raise at a second one.

    Do nothing outside the main thread, where Python cannot set a handler, or if another handler is installed.

    Parameters
    ----------
    active : bool
        False to leave the handling of Ctrl-C unchanged.

    Yields
    ------
    callable
        Returns whether Ctrl-C was pressed.
    """
    pressed = threading.Event()

    def record(number: int, frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    in_main = threading.current_thread() is threading.main_thread()
    if not (active and in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
        yield pressed.is_set
        return
    signal.signal(signal.SIGINT, record)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)

"""Handlers of signals (`sigterm_as_exit`, `delayed_ctrl_c`), so that finished work is still recorded."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, by the convention of shells."""


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Raise `SystemExit` in the block on SIGTERM, unless a handler is installed already, as by Prefect in a flow.

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


@contextmanager
def delayed_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, for example a commit; a second Ctrl-C interrupts at once."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if came:
        raise KeyboardInterrupt

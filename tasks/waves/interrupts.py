"""Handlers of signals (`sigterm_as_exit`, `delayed_interrupts`), so that finished work is still recorded."""

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


@contextmanager
def delayed_interrupts() -> Iterator[None]:
    """Delay Ctrl-C and SIGTERM until the end of the block, for example a commit; a second one interrupts at once.

    A signal without a Python handler keeps its default effect.
    """
    in_main = threading.current_thread() is threading.main_thread()
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)} if in_main else {}
    handlers = {each: handler for each, handler in before.items() if callable(handler)}
    came: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        if came:
            handlers[signal.Signals(number)](number, frame)
        came.append(number)

    for each in handlers:
        signal.signal(each, remember)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if came:
        handlers[signal.Signals(came[0])](came[0], None)

"""What ends a run from outside, and when it may record what it has."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

TERMINATED = 128 + signal.SIGTERM
"""Exit code after SIGTERM, as shells have it."""


@contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM raise `SystemExit` in the block, unless something handles it already, as Prefect does in a flow.

    Without a handler it would end the process where it stands, and rows that wait for their commit would be lost.
    """
    in_main = threading.current_thread() is threading.main_thread()  # Python sets handlers nowhere else
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
    """Let Ctrl-C wait until the block is through, such as a commit; a second one interrupts it at once."""
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

"""Handling of signals that end a run (`sigterm_as_exit`), so that finished work is still recorded."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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

"""Ctrl-C in the training commands (`one_line_on_ctrl_c`): one line and exit code 130, however early it comes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_CODE = 130


@contextmanager
def one_line_on_ctrl_c() -> Iterator[None]:
    """Exit in one line after Ctrl-C.

    Import heavy packages within the context: PyTorch alone takes seconds.

    Raises
    ------
    SystemExit
        With code 130.
    """
    try:
        yield
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process is ending already
        sys.stderr.write("interrupted; run the same command again to continue\n")
        raise SystemExit(EXIT_CODE) from None

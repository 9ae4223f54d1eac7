"""Handling of Ctrl-C during a command, which ends it with one line instead of tracebacks."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""
INTERRUPTED_LINE = "interrupted; run it again to continue"
_ENGINES = {"prefect.flow_runs": "flow_engine", "prefect.task_runs": "task_engine"}
"""Modules of Prefect that log how a run ended, by logger; flows and tasks log there too."""


def exit_on_ctrl_c() -> None:
    """Make Ctrl-C exit at once with one line, for the seconds of imports in which nothing can be lost.

    Python itself would print the traceback of the import that is in progress.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _exit)


def raise_on_ctrl_c() -> None:
    """Make Ctrl-C raise `KeyboardInterrupt` again after `exit_on_ctrl_c`, so that work can be recorded."""
    if signal.getsignal(signal.SIGINT) is _exit:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused an error; Prefect may fail while it reports the interruption to its server."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def quiet_engines() -> None:
    """Suppress what Prefect's engines log about Ctrl-C: each flow inside another flow calls it a crash.

    The state of the run still reports it to the server.
    """
    for log in _ENGINES:
        logging.getLogger(log).addFilter(_is_not_echo)


def _is_not_echo(record: logging.LogRecord) -> bool:
    if record.module != _ENGINES.get(record.name):
        return True
    return not is_interrupt(sys.exc_info()[1]) and INTERRUPTED_LINE not in record.getMessage()


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, f"{INTERRUPTED_LINE}\n".encode())  # sys.stderr may be in the middle of a write
    os._exit(INTERRUPTED)

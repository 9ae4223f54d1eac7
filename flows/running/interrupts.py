"""Ctrl-C during a flow: how it is recognized, and how it is kept to one line."""

from __future__ import annotations

import logging
import sys

INTERRUPTED_LINE = "interrupted; run it again to go on"
_ENGINES = {"prefect.flow_runs": "flow_engine", "prefect.task_runs": "task_engine"}
"""Modules of Prefect that log how a run ended, by logger; flows and tasks log there too."""


def is_interrupt(error: BaseException | None) -> bool:
    """Return whether Ctrl-C caused an error: Prefect may fail while it reports the interruption to its server."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def quiet_engines() -> None:
    """Suppress what Prefect's engines log about Ctrl-C: each flow inside another flow calls it a crash.

    The state of the run still reports it to the server.
    """
    for log in _ENGINES:
        logging.getLogger(log).addFilter(_is_no_echo)


def _is_no_echo(record: logging.LogRecord) -> bool:
    if record.module != _ENGINES.get(record.name):
        return True
    return not is_interrupt(sys.exc_info()[1]) and INTERRUPTED_LINE not in record.getMessage()

"""Connection of the work with its Prefect run, if there is one (`report`, `attempt`, `run_log`).

Outside a flow run, nothing in this module imports Prefect.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from infra.errors import DerainError, one_line

T = TypeVar("T")

SILENT_SECONDS = 60.0
"""Seconds for which nothing is reported to a Prefect server that did not answer."""


@dataclass(slots=True)
class _Silence:
    """The time until which Prefect's server is left alone, by the monotonic clock."""

    until: float = 0.0


_silence = _Silence()


def interrupt_errors() -> tuple[type[BaseException], ...]:
    """Return the exceptions that interrupt work.

    These are Ctrl-C, SIGTERM, and Prefect's cancellation: by SIGTERM, or by an exception in the main thread if the
    server does not renew the run's slot of its deployment.
    """
    if "prefect" not in sys.modules:
        return (KeyboardInterrupt, SystemExit)
    from prefect.exceptions import TerminationSignal

    return (KeyboardInterrupt, SystemExit, asyncio.CancelledError, TerminationSignal)


def is_in_flow_run() -> bool:
    """Return whether the caller is part of a flow run; a console command is not, and needs no server."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the logger of the current flow run or task run."""
    if "prefect" not in sys.modules:
        return logging.getLogger("derain")
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_logger, get_run_logger

    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("derain")


def report(name: str, make: Callable[[], T]) -> T | None:
    """Create an artifact or emit an event in Prefect; the work does not depend on it.

    A server that does not answer is asked only once more and then left alone for `SILENT_SECONDS`: with Prefect's
    own retries, each report would wait for minutes.

    Parameters
    ----------
    name : str
        Name of the artifact or event, for the warning if it fails.
    make : callable
        Makes the artifact or emits the event, and may read the catalog for it.

    Returns
    -------
    object or None
        The result of `make`; None if it failed, if there is no flow run, or if the server is left alone.
    """
    if not is_in_flow_run() or time.monotonic() < _silence.until:
        return None
    return attempt(name, lambda: _impatiently(make))


def attempt(name: str, make: Callable[[], T]) -> T | None:
    """Call a step that follows the work; log a warning if it fails, so that later steps still run.

    Parameters
    ----------
    name : str
        Name of the step, for the warning.
    make : callable
        The step.

    Returns
    -------
    object or None
        The result of `make`; None if it failed.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - nothing after the last commit may fail a completed run
        kind = "" if isinstance(error, DerainError) else f"{type(error).__name__}: "
        run_log().warning(f"{name} could not be completed: {kind}{one_line(error)}")
        return None


def _impatiently(make: Callable[[], T]) -> T:
    from httpx import TransportError
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    try:
        with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
            return make()
    except TransportError:
        _silence.until = time.monotonic() + SILENT_SECONDS
        raise

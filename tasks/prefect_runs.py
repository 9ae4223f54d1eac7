"""What connects the work to the Prefect run that it is part of, where there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx
from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError, PrefectException, TerminationSignal
from prefect.logging import get_logger, get_run_logger
from prefect.states import Failed

from infra.errors import DerainError, one_line

T = TypeVar("T")
INTERRUPTS = (KeyboardInterrupt, SystemExit, TerminationSignal)
"""Ctrl-C, SIGTERM, and Prefect's cancel, which is a SIGTERM too."""
SERVER_ERRORS = (httpx.HTTPError, PrefectException)
"""What a Prefect server that is away or overloaded raises."""


def is_in_flow_run() -> bool:
    """Tell whether this is part of a flow run; a console command is part of none, and needs no server."""
    return FlowRunContext.get() is not None


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the log of the flow run or task run that this is part of."""
    try:
        return get_run_logger()
    except MissingContextError:
        return get_logger("derain")


def report(what: str, make: Callable[[], T]) -> T | None:
    """Show something of the work in Prefect: an artifact or an event. The work does not depend on it.

    Parameters
    ----------
    what : str
        What is shown, for the warning where that fails.
    make : callable
        Makes the artifact or emits the event, and may read the catalog for it.

    Returns
    -------
    object or None
        What `make` returned; None where it failed, or where there is no flow run.
    """
    if not is_in_flow_run():
        return None
    return attempt(what, make)


def attempt(what: str, make: Callable[[], T]) -> T | None:
    """Do something that comes after the work: where it fails, the log has a warning and the rest still happens.

    Parameters
    ----------
    what : str
        What is done, for the warning.
    make : callable
        Does it.

    Returns
    -------
    object or None
        What `make` returned; None where it failed.
    """
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - nothing after the last commit makes a run that is done fail
        line = f"{type(error).__name__}: {one_line(error)}"
        run_log().warning(f"{what} could not be completed: {line}")
        return None


def as_task_run(name: str | None, number: int, work: Callable[[], None]) -> None:
    """Do a piece of work as a task run `<name>-<number>` of the flow run; plainly without a name or a flow run.

    Whatever an expected error of the work says is the message of the failed task run, without a traceback. The
    work is done too where Prefect's server does not answer.

    Raises
    ------
    Exception
        What `work` raised.
    """
    if name is None or not is_in_flow_run():
        work()
        return
    piece = _Piece(work)
    try:
        _piece_run.with_options(name=name)(name, number, piece, return_state=True)
    except SERVER_ERRORS as error:
        run_log().warning(f"{name}-{number} is not shown: {type(error).__name__}: {one_line(error)}")
    if not piece.has_begun:
        work()
    if piece.error is not None:
        raise piece.error


@dataclass(slots=True)
class _Piece:
    """Work that remembers what became of it."""

    work: Callable[[], None]
    has_begun: bool = False
    error: Exception | None = None


@task(name="wave", task_run_name="{name}-{number}", cache_policy=NO_CACHE)
def _piece_run(name: str, number: int, piece: _Piece) -> State[None] | None:
    """Do the work; `name` and `number` are shown as the task run's name."""
    piece.has_begun = True
    try:
        piece.work()
    except DerainError as error:
        piece.error = error
        return Failed(message=str(error))
    except Exception as error:
        piece.error = error
        raise
    return None

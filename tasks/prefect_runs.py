"""What connects the work to the Prefect run that it is part of, where there is one.

Prefect is imported by the flows alone: where none is under way, nothing here needs it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TypeVar

from infra.errors import one_line

T = TypeVar("T")


def interrupts() -> tuple[type[BaseException], ...]:
    """Return what interrupts work: Ctrl-C, SIGTERM, and Prefect's cancel, which is a SIGTERM too."""
    if "prefect" not in sys.modules:
        return (KeyboardInterrupt, SystemExit)
    from prefect.exceptions import TerminationSignal

    return (KeyboardInterrupt, SystemExit, TerminationSignal)


def is_in_flow_run() -> bool:
    """Tell whether this is part of a flow run; a console command is part of none, and needs no server."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the log of the flow run or task run that this is part of."""
    if "prefect" not in sys.modules:
        return logging.getLogger("derain")
    from prefect.exceptions import MissingContextError
    from prefect.logging import get_logger, get_run_logger

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
    from tasks.prefect_tasks import run_piece

    run_piece(name, number, work)

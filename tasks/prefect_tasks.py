"""Execution of a function as a Prefect task run of the current flow run (`run_piece`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import httpx
from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import PrefectException
from prefect.states import Completed, Failed

from infra.errors import DerainError, one_line
from tasks.prefect_runs import interrupt_errors, run_log

SERVER_ERRORS = (httpx.HTTPError, PrefectException)
"""Exceptions that an unavailable or overloaded Prefect server causes."""


def run_piece(name: str, number: int, work: Callable[[], None]) -> None:
    """Run `work` as the task run `<name>-<number>`; see `tasks.waves.task_runs.as_task_run`."""
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
    """A function that remembers its outcome."""

    work: Callable[[], None]
    has_begun: bool = False
    error: BaseException | None = None


@task(name="wave", task_run_name="{name}-{number}", cache_policy=NO_CACHE)
def _piece_run(name: str, number: int, piece: _Piece) -> State[None] | None:
    """Run the function; `name` and `number` form the task run's name."""
    piece.has_begun = True
    try:
        piece.work()
    except DerainError as error:
        piece.error = error
        return Failed(message=str(error))
    except (
        interrupt_errors()
    ) as interrupt:  # raised again by `run_piece`; Prefect would log a crash as an error
        piece.error = interrupt
        return Completed(name="Interrupted", message="returned results are recorded")
    except Exception as error:
        piece.error = error
        raise
    return None

"""Retries of operations on a Delta table (`persistently`): lost races and transient errors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NoReturn, TypeVar

from deltalake.exceptions import CommitFailedError, DeltaError, DeltaProtocolError, SchemaMismatchError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from infra.catalog.delta.damage import refuse_damaged
from infra.errors import TransientError, one_line
from infra.settings import read_retry_policy

logger = logging.getLogger(__name__)

ATTEMPTS = 12
"""Attempts per commit, spread over about 30 seconds."""
READ_ATTEMPTS = 3
"""Attempts to open the table for reading."""
TRANSIENT = (DeltaError, OSError)
"""Exceptions of deltalake after which another attempt may succeed, apart from `_PERMANENT`."""
_PERMANENT = (DeltaProtocolError, SchemaMismatchError, PermissionError)

Answer = TypeVar("Answer")


class CatalogError(TransientError):
    """The catalog could not be read or written, even after retries; the work stays pending."""


def persistently(url: str, doing: str, attempt: Callable[[], Answer], attempts: int = ATTEMPTS) -> Answer:
    """Call `attempt` until it succeeds; after a lost race it sees the winner's version.

    Parameters
    ----------
    url : str
        The table, for messages.
    doing : str
        What the attempt does, for messages.
    attempt : callable
        Raises one of `TRANSIENT` if it may succeed later.
    attempts : int
        Maximum number of calls. Errors other than lost races are retried for at most `DERAIN_RETRY_SECONDS`.

    Raises
    ------
    CatalogError
        All attempts failed.
    CatalogDamaged
        A file of the table is damaged.
    """
    retrying = Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, TRANSIENT) and not isinstance(error, _PERMANENT)
        ),
        wait=wait_random_exponential(multiplier=0.15, max=5.0),
        stop=lambda state: _is_over(state, attempts),
        before_sleep=lambda state: _log(state, doing),
        retry_error_callback=lambda state: _give_up(state, url, doing),
    )
    try:
        return retrying(attempt)
    except _PERMANENT as error:
        raise CatalogError(f"catalog {url}: {doing} refused: {one_line(error)}") from error


def retry_seconds() -> float:
    """Return for how many seconds storage errors are retried."""
    return read_retry_policy().budget_seconds


def _error(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # tenacity asks only after an attempt that failed
    return error


def _is_over(state: RetryCallState, attempts: int) -> bool:
    is_race = isinstance(_error(state), CommitFailedError)
    is_late = (state.seconds_since_start or 0.0) > retry_seconds()
    return state.attempt_number >= attempts or (is_late and not is_race)


def _log(state: RetryCallState, doing: str) -> None:
    error = _error(state)
    level = logging.DEBUG if isinstance(error, CommitFailedError) else logging.WARNING
    logger.log(level, "catalog %s, attempt %d: %s", doing, state.attempt_number, one_line(error))


def _give_up(state: RetryCallState, url: str, doing: str) -> NoReturn:
    error = _error(state)
    if not isinstance(error, CommitFailedError):
        refuse_damaged(url)
    raise CatalogError(
        f"catalog {url}: {doing} failed {state.attempt_number} times: {one_line(error)}"
    ) from error

"""What can go wrong with the world outside, sorted by what to do about it, and the patience to try again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from infra.shown import shown

T = TypeVar("T")


ARCHIVED = "archived; restore it first"
"""Why an object in an archive is rejected. Once it is restored, the next run takes it up."""


class DerainError(Exception):
    """Base of every error that this project raises on purpose. Its message is the one line that a user needs.

    As text it can be shown anywhere: without passwords of URLs, control characters of keys escaped.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class UserError(DerainError):
    """What was asked for cannot be done. The message names it and the way out; trying again does not help."""


class ItemRejected(DerainError):
    """One image or crop cannot be processed. It becomes a row with the message as its reason."""


class TransientError(DerainError):
    """Something outside failed that can heal: a time-out, throttling, a reset, a full disk.

    Never the image's fault: the image stays pending, without a row.
    """


class StorageError(TransientError):
    """Storage failed and trying again did not help, or cannot. The message names the URL and the cause."""


class RequestUnsupported(StorageError):
    """The store does not have what was asked of it, however often it is asked."""


class ExclusiveWritesMissing(UserError):
    """The store cannot create an object only where there is none, so nothing could keep two runs apart there."""


class RenamingMissing(UserError):
    """The file system cannot rename files, so nothing could be written whole there."""


class ObjectArchived(ItemRejected):
    """The object lies in an archive and cannot be read before someone restores it."""

    def __init__(self) -> None:
        super().__init__(ARCHIVED)


class ObjectChanged(TransientError):
    """What was read is whole, but not of the size that was listed: it changed in between."""


class ObjectStillChanging(StorageError):
    """An object was again and again not of the size that was listed: storage answers, but the object is another."""


class ObjectNotFound(UserError):
    """The object, bucket or folder is not there. The message names it."""


class AccessDenied(UserError):
    """Credentials are absent or were refused. The message names the URL and a way out."""


STORAGE_ERRORS = (TransientError, ObjectNotFound, AccessDenied)
"""What storage may answer at any moment, though all was well before: a time-out, a lapsed token, a bucket gone."""


class UrlRefused(UserError, ValueError):
    """A URL that names no place where images can be. The message names it and what would."""


class KeyRefused(UserError):
    """The store can never hold this key, or no file lies there: too long, outside the folder, a pipe, a device.

    The key's own fault, so the image may become a row with this reason; waiting does not help.
    """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long one operation is tried again."""

    budget_seconds: float
    """No new attempt starts after this long."""
    attempt_seconds: float | None = None
    """Limit of one attempt; none: only the sockets' own time-outs hold."""
    first_wait: float = 0.2
    longest_wait: float = 8.0

    def short(self) -> RetryPolicy:
        """Return the patience of a preflight, whose user waits at the terminal."""
        return RetryPolicy(min(self.budget_seconds, 3.0), 8.0, self.first_wait, 1.0)


CHANGED_ATTEMPTS = 3  # a cut answer with a matching length is rare, an overwritten object is not


def retry(attempt: Callable[[], T], policy: RetryPolicy, url: str) -> T:
    """Run `attempt` until it succeeds, fails for good, or patience ends.

    Parameters
    ----------
    attempt : Callable[[], T]
        Raises `TransientError` for what can heal; anything else, and `StorageError`, ends the loop at once.
    patience : RetryPolicy
        When to stop. Waits are random and double, so that workers do not come back all together.
    url : str
        What is being asked for, for the message.

    Raises
    ------
    StorageError
        When patience has ended.
    """
    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, TransientError) and _can_heal(error)),
        wait=wait_random_exponential(multiplier=policy.first_wait, max=policy.longest_wait),
        stop=lambda state: _is_over(state, policy),
        retry_error_callback=lambda state: _give_up(state, url),
    )
    return retrying(attempt)


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, short enough for a terminal."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def printable(url: str) -> str:
    """Return a URL as it can stand in a one-line message: keys may hold newlines and worse."""
    return url if url.isprintable() else repr(url)[1:-1]


def _can_heal(error: TransientError) -> bool:
    return not isinstance(error, StorageError)


def _is_over(state: RetryCallState, policy: RetryPolicy) -> bool:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, ObjectChanged) and state.attempt_number >= CHANGED_ATTEMPTS:
        return True
    return (state.seconds_since_start or 0.0) >= policy.budget_seconds


def _give_up(state: RetryCallState, url: str) -> NoReturn:
    error = state.outcome.exception() if state.outcome else None
    attempts = f"{state.attempt_number} attempts" if state.attempt_number > 1 else "one attempt"
    cause = one_line(error) if error else "no outcome"
    kind = ObjectStillChanging if isinstance(error, ObjectChanged) else StorageError
    raise kind(f"{url}: {cause} (gave up after {attempts})") from error

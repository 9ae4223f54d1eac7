"""The family of errors below `DerainError`, grouped by how to handle them, and `retry` for the transient ones."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_random_exponential

from infra.shown import shown

T = TypeVar("T")


_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
"""A colour code of a terminal; errors of deltalake contain some."""
ARCHIVED = "archived; restore it first"
"""Reason for rejecting an object in an archive. Once it is restored, the next run processes it."""


class DerainError(Exception):
    """Base class of every error that this project raises on purpose. Its message is the one line that a user needs.

    `str(error)` is safe to show anywhere: passwords in URLs are removed and control characters in keys are escaped.
    """

    def __str__(self) -> str:
        return shown(super().__str__())


class UserError(DerainError):
    """The request cannot be fulfilled. The message names the cause and the way out; retrying does not help."""


class ItemRejected(DerainError):
    """One image or crop cannot be processed. It becomes a row with the message as its reason."""


class TransientError(DerainError):
    """Something outside the process failed that may recover: a time-out, throttling, a reset, a full disk.

    It is never the image's fault: the image stays pending, without a row.
    """


class StorageError(TransientError):
    """Storage failed, and retrying did not or cannot help. The message names the URL and the cause."""


class RequestUnsupported(StorageError):
    """The store does not support the request, however often it is sent."""


class ExclusiveWritesMissing(UserError):
    """The store has no exclusive creation of objects, without which two runs cannot be kept apart."""


class RenamingMissing(UserError):
    """The file system cannot rename files, without which files cannot be written atomically."""


class ObjectArchived(ItemRejected):
    """The object is in an archive and cannot be read until someone restores it."""

    def __init__(self) -> None:
        super().__init__(ARCHIVED)


class ObjectChanged(TransientError):
    """The object was read completely, but its size is not the one listed: it has changed since."""


class ObjectStillChanging(StorageError):
    """The object repeatedly did not have the size that was listed: storage works, but the object keeps changing."""


class ObjectUnreadable(StorageError):
    """The object is listed but cannot be returned: the key that encrypts it is disabled, or unknown here."""


class ObjectNotFound(UserError):
    """The object, bucket or folder does not exist. The message names it."""


class BucketNotFound(ObjectNotFound):
    """The bucket does not exist, so no other object of it does either."""


class AccessDenied(UserError):
    """Credentials are missing or were refused. The message names the URL and the way out."""


class CredentialsRefused(AccessDenied):
    """The credentials themselves are missing, unknown or expired, so no other object can be accessed either."""


STORAGE_ERRORS = (TransientError, ObjectNotFound, AccessDenied)
"""Errors that storage may raise at any time: a time-out, an expired token, a bucket that was deleted."""


class UrlRefused(UserError, ValueError):
    """The URL does not name a place that can hold images. The message names it and says which URLs do."""


class KeyRefused(UserError):
    """The store can never hold a file under this key: it is too long, outside the folder, a pipe or a device.

    The key itself is at fault, so the image may become a row with this reason; waiting does not help.
    """


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits on how long one operation is retried."""

    budget_seconds: float
    """Seconds after which no new attempt starts."""
    attempt_seconds: float | None = None
    """Limit of one attempt in seconds; None: only the time-outs of the sockets apply."""
    first_wait: float = 0.2
    longest_wait: float = 8.0

    def short(self) -> RetryPolicy:
        """Return the shorter policy of a preflight, during which a user waits at the terminal."""
        return RetryPolicy(min(self.budget_seconds, 3.0), 8.0, self.first_wait, 1.0)


CHANGED_ATTEMPTS = 3  # truncated responses of matching length are rare, overwritten objects are not


def retry(attempt: Callable[[], T], policy: RetryPolicy, url: str) -> T:
    """Run `attempt` until it succeeds, fails permanently, or the policy's budget is used up.

    Parameters
    ----------
    attempt : Callable[[], T]
        Raises `TransientError` if another attempt may succeed; any other error, and `StorageError`, ends the loop.
    policy : RetryPolicy
        When to stop. Waits are random and double each time, so that workers do not all retry at the same moment.
    url : str
        The URL that is accessed, for the message.

    Raises
    ------
    StorageError
        If the budget is used up.
    """
    retrying = Retrying(
        retry=retry_if_exception(
            lambda error: isinstance(error, TransientError) and not isinstance(error, StorageError)
        ),
        wait=wait_random_exponential(multiplier=policy.first_wait, max=policy.longest_wait),
        stop=lambda state: _is_over(state, policy),
        retry_error_callback=lambda state: _give_up(state, url),
    )
    return retrying(attempt)


def one_line(error: BaseException) -> str:
    """Return an error's message on one line, without colour codes and short enough for a terminal."""
    text = " ".join(_COLOUR.sub("", str(error)).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def printable(url: str) -> str:
    """Return a URL that is safe in a one-line message: keys may contain newlines and worse."""
    return url if url.isprintable() else repr(url)[1:-1]


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

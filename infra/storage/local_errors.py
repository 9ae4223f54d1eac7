"""Translation of operating system errors into the errors of this project."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from infra.errors import AccessDenied, KeyRefused, ObjectNotFound, TransientError, one_line

T = TypeVar("T")

REFUSALS = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP, errno.EEXIST}
CHECK_MODE = "check the owner and the mode of the folder"
"""Way out if the operating system denies access."""


def translate_errors(action: Callable[[], T], url: str) -> T:
    """Run `action` and translate an `OSError` that it raises.

    Parameters
    ----------
    action : Callable[[], T]
        One operation on a file.
    url : str
        The URL that is accessed, for the message.

    Raises
    ------
    ObjectNotFound, AccessDenied, KeyRefused
        Where these apply.
    TransientError
        For anything else, which may recover.
    """
    try:
        return action()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectNotFound(f"{url}: {error.strerror}") from error
    except PermissionError as error:
        raise AccessDenied(f"{url}: {error.strerror}; {CHECK_MODE}") from error
    except UnicodeEncodeError as error:
        raise KeyRefused(f"{url!r} is not a valid file name") from error
    except OSError as error:
        if error.errno == errno.EROFS:
            raise AccessDenied(f"{url}: {error.strerror}") from error
        if error.errno in REFUSALS:
            raise KeyRefused(f"{url} cannot be a file: {error.strerror}") from error
        raise TransientError(one_line(error)) from error

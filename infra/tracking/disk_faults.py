"""Detection of a full or read-only disk behind an error of MLflow or SQLite (`disk_fault`)."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_ERRNO_OF_SQLITE = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EACCES}


def disk_fault(error: BaseException) -> str | None:
    """Return the reason and the way out if an error, or one that caused it, is about the disk; else None."""
    for each in _chain(error):
        number = each.errno if isinstance(each, OSError) else _of_sqlite(each)
        if number in FULL:
            return f"{os.strerror(number)}; make room there, or set DERAIN_WORKSPACE to another disk"
        if number in FORBIDDEN:
            return f"{os.strerror(number)}; let your group write to the workspace, or set DERAIN_WORKSPACE"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_sqlite(error: BaseException) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _ERRNO_OF_SQLITE.get(code & 0xFF)  # the other bits distinguish kinds

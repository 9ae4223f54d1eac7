"""Disk faults behind an error of MLflow or SQLite (`disk_fault`), and rights to write to a folder (`may_write`)."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
_ERRNO_OF_SQLITE = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EACCES}


def disk_fault(error: BaseException, folder: Path) -> str | None:
    """Return the reason and the way out if an error, or one that caused it, is about the disk; else None.

    Parameters
    ----------
    error : BaseException
        The error of MLflow, SQLite or the system.
    folder : Path
        The folder of the files. SQLite does not say why it cannot open a file: the folder's rights decide.
    """
    for each in _chain(error):
        number = each.errno if isinstance(each, OSError) else _of_sqlite(each, folder)
        if number in FULL:
            return f"{os.strerror(number)}; make room there, or set DERAIN_WORKSPACE to another disk"
        if number in FORBIDDEN:
            return f"{os.strerror(number)}; let your group write to the workspace, or set DERAIN_WORKSPACE"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of_sqlite(error: BaseException, folder: Path) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    code &= 0xFF  # the other bits distinguish kinds
    if code == sqlite3.SQLITE_CANTOPEN and not may_write(folder):
        return errno.EACCES
    return _ERRNO_OF_SQLITE.get(code)


def may_write(folder: Path) -> bool:
    """Return whether this user may create files in a folder."""
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)

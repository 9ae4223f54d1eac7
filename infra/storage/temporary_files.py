"""Temporary files of unfinished writes, whose names identify the writing process, so that leftovers can be removed.

They are named `.derain-<machine>-<pid>-<start>-<random>.tmp`. Only files with such a name are ever removed.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import secrets
import time
from pathlib import Path

from infra.process_identity import Holder

logger = logging.getLogger(__name__)

OLD_SECONDS = 24 * 3600.0
"""Age in seconds at which the file of an unknown process counts as abandoned; writing a file takes seconds."""
_OURS = re.compile(r"\.derain-([0-9a-f]{16})-(\d+)-(\d+)-[0-9a-f]{16}\.tmp")


def temporary_name() -> str:
    """Return a name for a file that is about to be written; listings skip it."""
    return f".derain-{_mark(os.getpid())}-{secrets.token_hex(8)}.tmp"


def is_temporary(key: str) -> bool:
    """Return whether a key names a temporary file of ours."""
    name = key.rpartition("/")[2]
    return name.startswith(".derain-") and name.endswith(".tmp")


def nearest_folder(path: str) -> str:
    """Return the folder itself, or the nearest existing one above it."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def sweep(folder: str) -> int:
    """Remove the temporary files that killed processes left below a folder; links are not followed.

    Returns
    -------
    int
        Number of removed files.
    """
    swept = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent, name)
            if name.startswith(".derain-") and _has_no_owner(path):
                swept += _removed(path)
    return swept


def _has_no_owner(path: Path) -> bool:
    """Return whether a file is certainly abandoned: its process is dead, or is unknown and the file is old."""
    mark = _OURS.fullmatch(path.name)
    if mark is None:
        return False
    if Holder("", mark[1], int(mark[2]), float(mark[3])).is_dead():
        return True
    try:
        return time.time() - path.stat().st_mtime > OLD_SECONDS
    except OSError:  # gone, or inaccessible
        return False


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError as error:  # gone meanwhile, or another user's
        logger.debug("%s stays: %s", path, error)
        return False
    return True


@functools.lru_cache(maxsize=1)
def _mark(pid: int) -> str:
    # Cached by process id, because a fork is another process.
    holder = Holder.this_process()
    return f"{holder.machine}-{pid}-{holder.started:.0f}"

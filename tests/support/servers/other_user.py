"""A folder that this process may not write to, even if tests run as root."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65_534


@contextmanager
def open_folder() -> Iterator[Path]:
    """Yield a temporary folder that every user can enter; those of pytest are private to their owner."""
    folder = Path(tempfile.mkdtemp(prefix="derain-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_another_user(folder: Path) -> Iterator[None]:
    """Act as a user who may read everything below a folder but write nothing."""
    paths = [folder, *folder.rglob("*")]
    modes = {path: path.stat().st_mode & 0o7777 for path in paths}
    for path, mode in modes.items():
        path.chmod(mode & ~0o222 | 0o444 | (0o111 if path.is_dir() else 0))
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(uid)
        for path, mode in modes.items():
            path.chmod(mode)

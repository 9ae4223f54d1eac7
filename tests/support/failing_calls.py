"""Functions of `os` that fail on one file or folder, even for root, whom no mode keeps out."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def failing_at(name: str, code: int, real: Callable[..., object]) -> Callable[..., object]:
    """Return a function that fails with an error number on one path, or on all paths of one base name."""

    def action(path: object, *arguments: object, **named: object) -> object:
        if name in (str(path), os.path.basename(str(path))):
            raise OSError(code, os.strerror(code), path)
        return real(path, *arguments, **named)

    return action


def deny_listing(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Deny this process to list a folder, as its mode 311 would."""
    monkeypatch.setattr(os, "scandir", failing_at(str(folder), errno.EACCES, os.scandir))

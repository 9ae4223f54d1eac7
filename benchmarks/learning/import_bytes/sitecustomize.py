"""Count the bytes that imports read; Python imports this module at its start if its folder is in PYTHONPATH.

The number of bytes of each module is appended, as a line, to the file that `IMPORT_BYTES` names. Each line is
written immediately, so that a process that is killed later counts too.
"""

from __future__ import annotations

import os
from importlib.abc import FileLoader
from importlib.machinery import SourceFileLoader

_read = SourceFileLoader.get_data


def _counted(loader: FileLoader, path: str) -> bytes:
    data = _read(loader, path)
    lines = os.open(os.environ["IMPORT_BYTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(lines, b"%d\n" % len(data))
    os.close(lines)
    return data


if "IMPORT_BYTES" in os.environ:
    SourceFileLoader.get_data = _counted  # type: ignore[assignment]

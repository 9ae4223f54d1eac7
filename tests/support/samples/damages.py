"""Damages to a Delta table in a folder, such as a power cut, a full disk or a careless user may cause."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

Damage = Callable[[Path], Path]
"""Function that damages a table and returns the file that the refusal must name."""


def log_file(table: Path, back: int = 0) -> Path:
    """Return the newest log file of a table, or the one `back` versions earlier."""
    return sorted(table.glob("_delta_log/*[0-9].json"))[-1 - back]


def data_file(table: Path) -> Path:
    """Return the data file that was written last."""
    return max(table.glob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)


def checkpoint(table: Path) -> Path:
    return sorted(table.glob("_delta_log/*.checkpoint.parquet"))[-1]


def cut(path: Path, size: int) -> Path:
    os.truncate(path, size)
    return path


def gone(path: Path) -> Path:
    path.unlink()
    return path


def flipped(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[100:400] = bytes(255 - byte for byte in data[100:400])
    path.write_bytes(data)
    return path


def without_log(table: Path) -> Path:
    shutil.rmtree(table / "_delta_log")
    return table / "_delta_log"


DAMAGES: dict[str, Damage] = {
    "the last log file is empty": lambda table: cut(log_file(table), 0),
    "the last log file is truncated": lambda table: cut(log_file(table), 200),
    "an earlier log file is empty": lambda table: cut(log_file(table, 1), 0),
    "an earlier log file is missing": lambda table: gone(log_file(table, 1)),
    "the checkpoint is truncated": lambda table: cut(checkpoint(table), 100),
    "the checkpoint is empty": lambda table: cut(checkpoint(table), 0),
    "the checkpoint is missing": lambda table: gone(checkpoint(table)),
    "a data file is empty": lambda table: cut(data_file(table), 0),
    "a data file is truncated": lambda table: cut(data_file(table), 1000),
    "a data file is missing": lambda table: gone(data_file(table)),
    "a data file has other bytes": lambda table: flipped(data_file(table)),
    "the log is missing": without_log,
}

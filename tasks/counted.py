"""Progress of a loop (`counted`): a bar on a terminal, or else a log line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

from tasks.prefect_runs import run_log

Item = TypeVar("Item")
LOG_SECONDS = 30.0
"""Minimum number of seconds between two log lines."""


def counted(items: Iterable[Item], doing: str, unit: str, total: int) -> Iterator[Item]:
    """Yield items, and show how far the loop is.

    Parameters
    ----------
    items : iterable
        Items of the loop.
    doing : str
        What the loop does, such as `evaluating`.
    unit : str
        Name of one item.
    total : int
        Number of items.
    """
    log, logged, has_terminal = run_log(), time.monotonic(), sys.stderr.isatty()
    bar = tqdm(items, doing, total, unit=unit, disable=not has_terminal)
    for number, item in enumerate(bar, start=1):
        yield item
        if not has_terminal and time.monotonic() - logged > LOG_SECONDS:
            logged = time.monotonic()
            log.info(f"{doing} {unit} {number:,} of {total:,}")

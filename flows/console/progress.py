"""Progress of a run on standard error: a bar on a terminal, lines anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import NoReturn, Self

from tqdm import tqdm

from flows.console.lines import announce
from tasks.readable import duration, rate
from tasks.waves.tally import Tally

LINE_SECONDS = 5.0
"""Minimum number of seconds between two lines if there is no terminal."""


class ConsoleProgress:
    """Shows the progress of a run's images.

    Parameters
    ----------
    total : int
        Number of pending images.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self._shown = 0.0
        self._on_terminal = sys.stderr.isatty()
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, tally: Tally) -> None:
        """Show the results so far."""
        if self._on_terminal:
            if self._bar is None:  # opened by the first result, because lines are printed before it
                self._bar = _bar(self._total)
            self._bar.update(tally.images - self._bar.n)
            return
        now = time.monotonic()
        if now - self._shown >= LINE_SECONDS or tally.images == self._total:
            self._shown = now
            announce(self._line(tally))

    def _line(self, tally: Tally) -> str:
        seconds = max(time.monotonic() - self._started, 1e-6)
        speed = tally.images / seconds
        line = f"{tally.images:,} of {self._total:,} images, {rate(speed)} images/s"
        if tally.rejected:
            line += f", {tally.rejected:,} rejected"
        if tally.images < self._total and speed > 0:
            line += f", about {duration((self._total - tally.images) / speed)} left"
        return line


def _bar(total: int) -> tqdm[NoReturn]:
    return tqdm(total=total, desc="derain", unit="image", smoothing=0.1, file=sys.stderr)

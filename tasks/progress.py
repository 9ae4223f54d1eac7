"""Progress of a run (`Progress`): a bar on a terminal or log lines, and an artifact in Prefect."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from tasks.prefect_runs import interrupt_errors, report, run_log
from tasks.waves.tally import Tally

ARTIFACT_SECONDS = 1.0
"""Minimum number of seconds between updates of the artifact, each a request to the server of about 25 ms."""
LOG_SECONDS = 30.0
"""Minimum number of seconds between log lines of a run without a terminal."""


class Progress:
    """Displays the tally of a run; see `tasks.waves.runner.Listener`.

    Parameters
    ----------
    total : int
        Number of pending items.
    doing : str
        Verb for the bar.
    unit : str
        Name of one item.
    """

    def __init__(self, total: int, doing: str = "derain", unit: str = "image") -> None:
        self._total = total
        self._unit = unit
        self._tally = Tally()
        self._ending = ""
        self._started = self._updated = self._logged = time.monotonic()
        self._has_terminal = sys.stderr.isatty()
        self._log = run_log()
        self._shown = ExitStack()
        self._bar = tqdm(total=total, desc=doing, unit=unit, smoothing=0.1, disable=not self._has_terminal)
        self._artifact = report("the progress artifact", self._created) if total else None

    def __enter__(self) -> Self:
        if self._has_terminal:
            self._shown.enter_context(logging_redirect_tqdm())  # log lines would otherwise break the bar
        self._shown.callback(self._bar.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()
        self._ending = "cancelled: " if isinstance(error, interrupt_errors()) else ""
        self._update_artifact()

    def show(self, tally: Tally) -> None:
        """Show the results so far."""
        self._tally = tally.snapshot()
        if self._has_terminal:
            self._move_bar(tally)
        now = time.monotonic()
        if now - self._updated > ARTIFACT_SECONDS:
            self._updated = now
            self._update_artifact()
        if not self._has_terminal and now - self._logged > LOG_SECONDS:
            self._logged = now
            self._log.info(self._line())

    def _move_bar(self, tally: Tally) -> None:
        if tally.pixels:
            self._bar.set_postfix_str(f"{tally.pixels / 1e6 / self._seconds:.1f} MP/s", refresh=False)
        self._bar.update(tally.images - self._bar.n)

    @property
    def _seconds(self) -> float:
        return max(time.monotonic() - self._started, 1e-6)

    def _created(self) -> UUID:
        description = self._line()
        return create_progress_artifact(0.0, key="progress", description=description)  # type: ignore[return-value]

    def _update_artifact(self) -> None:
        artifact = self._artifact
        if artifact is not None:
            report("the progress artifact", lambda: self._update(artifact))

    def _update(self, artifact: UUID) -> None:
        share = self._tally.images / self._total if self._total else 1.0
        update_progress_artifact(artifact, progress=100 * share, description=self._line())

    def _line(self) -> str:
        tally, seconds = self._tally, self._seconds
        line = (
            f"{self._ending}{tally.images:,} of {self._total:,} {self._unit}s ({tally.rejected:,} rejected,"
            f" {tally.unfinished_count:,} pending), {tally.images / seconds:.1f} {self._unit}s/s"
        )
        if tally.pixels or self._unit == "image":
            line += f", {tally.pixels / 1e6 / seconds:.1f} MP/s"
        if tally.images and not self._ending:
            line += f", about {(self._total - tally.images) / (tally.images / seconds):,.0f} s left"
        return line

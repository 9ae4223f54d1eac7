"""What a run shows while it works: a bar on a terminal or lines in a log, and an artifact in Prefect."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar
from uuid import UUID

import httpx
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.exceptions import MissingContextError, PrefectException
from prefect.logging import get_logger, get_run_logger
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from infra.errors import one_line
from tasks.refusals import REFUSALS
from tasks.waves.shard_results import ImageRow, ShardResult
from tasks.waves.wave import Tally

T = TypeVar("T")
ARTIFACT_SECONDS = 1.0
"""Least time between two updates of the artifact, each a request to the server of some 25 ms."""
LOG_SECONDS = 30.0
"""Least time between two lines in the log of a run that has no terminal."""


class Progress:
    """Counts results and shows them.

    Parameters
    ----------
    total : int
        Images that are to do.
    doing : str
        What is done to them, for the bar.
    """

    def __init__(self, total: int, doing: str = "derain") -> None:
        self.tally = Tally()
        self._total = total
        self._started = self._told = self._logged = time.monotonic()
        self._has_terminal = sys.stderr.isatty()
        self._log = run_log()
        self._shown = ExitStack()
        self._bar = tqdm(total=total, desc=doing, unit="image", smoothing=0.1, disable=not self._has_terminal)
        self._artifact = told("the progress artifact", self._created)

    def __enter__(self) -> Self:
        if self._has_terminal:
            self._shown.enter_context(logging_redirect_tqdm())  # or log lines would break the bar
        self._shown.callback(self._bar.close)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shown.close()
        if kind is not KeyboardInterrupt:  # a temporary server got the Ctrl-C too
            self._update_artifact()

    @property
    def seconds(self) -> float:
        """Wall time since the work began."""
        return time.monotonic() - self._started

    def tell(self, result: ShardResult[ImageRow]) -> None:
        """Count a shard that came back, and show it."""
        before = self.tally.images
        self.tally.add(result)
        self._bar.set_postfix_str(f"{self.tally.pixels / 1e6 / self.seconds:.1f} MP/s", refresh=False)
        self._bar.update(self.tally.images - before)
        now = time.monotonic()
        if now - self._told > ARTIFACT_SECONDS:
            self._told = now
            self._update_artifact()
        if not self._has_terminal and now - self._logged > LOG_SECONDS:
            self._logged = now
            self._log.info(self._line())

    def _created(self) -> UUID:
        description = self._line()
        return create_progress_artifact(0.0, key="progress", description=description)  # type: ignore[return-value]

    def _update_artifact(self) -> None:
        artifact = self._artifact
        if artifact is not None:
            told("the progress artifact", lambda: self._update(artifact))

    def _update(self, artifact: UUID) -> None:
        share = self.tally.images / self._total if self._total else 1.0
        update_progress_artifact(artifact, progress=100 * share, description=self._line())

    def _line(self) -> str:
        tally, seconds = self.tally, max(self.seconds, 1e-6)
        left = (self._total - tally.images) / (tally.images / seconds) if tally.images else None
        ahead = "" if left is None else f", about {left:,.0f} s to go"
        return (
            f"{tally.images:,} of {self._total:,} images ({tally.rejected:,} rejected,"
            f" {tally.unfinished_count:,} pending), {tally.images / seconds:.1f} images/s,"
            f" {tally.pixels / 1e6 / seconds:.1f} MP/s{ahead}"
        )


def told(what: str, tell: Callable[[], T]) -> T | None:
    """Tell Prefect something of the work; where that fails, the log has a warning and the work goes on.

    Parameters
    ----------
    what : str
        What is told, for the warning.
    tell : callable
        Makes an artifact or emits an event, and may read the catalog for it.

    Returns
    -------
    object or None
        What `tell` returned; None where it failed.
    """
    try:
        return tell()
    except (*REFUSALS, httpx.HTTPError, PrefectException) as error:
        run_log().warning(f"{what} could not be told: {type(error).__name__}: {one_line(error)}")
        return None


def run_log() -> logging.Logger | logging.LoggerAdapter[logging.Logger]:
    """Return the log of the flow run or task run that this is part of."""
    try:
        return get_run_logger()
    except MissingContextError:  # called from a script, outside any run
        return get_logger("derain")

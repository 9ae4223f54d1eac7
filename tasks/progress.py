"""What a run shows while it works: a bar on the console and an artifact on its page in Prefect."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from tqdm import tqdm

from tasks.shards import ShardResult
from tasks.waves import Tally

ARTIFACT_SECONDS = 2.0
"""Least time between two updates of the artifact, each a request to the server."""


class Progress:
    """Counts results and shows them.

    Parameters
    ----------
    total : int
        Images that are to do.
    """

    def __init__(self, total: int) -> None:
        self.tally = Tally()
        self._total = total
        self._started = time.monotonic()
        self._told = self._started
        self._bar = tqdm(total=total, desc="derain", unit="image", smoothing=0.1)
        self._artifact: UUID = create_progress_artifact(0.0, key="progress", description=self._line())  # type: ignore[assignment]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
        self._update_artifact()

    @property
    def seconds(self) -> float:
        """Wall time since the work began."""
        return time.monotonic() - self._started

    def tell(self, result: ShardResult) -> None:
        """Count a shard that came back, and show it."""
        before = self.tally.images
        self.tally.add(result)
        self._bar.update(self.tally.images - before)
        self._bar.set_postfix_str(f"{self.tally.pixels / 1e6 / self.seconds:.1f} MP/s")
        if time.monotonic() - self._told > ARTIFACT_SECONDS:
            self._update_artifact()

    def _update_artifact(self) -> None:
        self._told = time.monotonic()
        share = self.tally.images / self._total if self._total else 1.0
        update_progress_artifact(self._artifact, progress=100 * share, description=self._line())

    def _line(self) -> str:
        tally, seconds = self.tally, max(self.seconds, 1e-6)
        left = (self._total - tally.images) / (tally.images / seconds) if tally.images else None
        ahead = "" if left is None else f", about {left:,.0f} s to go"
        return (
            f"{tally.images:,} of {self._total:,} images ({tally.rejected:,} rejected,"
            f" {tally.unfinished_count:,} pending), {tally.images / seconds:.1f} images/s,"
            f" {tally.pixels / 1e6 / seconds:.1f} MP/s{ahead}"
        )

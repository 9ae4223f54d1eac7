"""What one run of derain-batch did: the flow's result, the console's last line, the report's head."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from infra.records import Scope
from tasks.batch.made_by import MadeBy, made_by_others
from tasks.readable import duration, rate


@dataclass(frozen=True, slots=True)
class Counts:
    """Images of one run, by what became of them."""

    listed: int
    """Found at the source."""
    skipped: int
    """Listed, but left out by include, exclude or limit."""
    done_before: int
    """Already in the catalog, with their output in place."""
    derained: int
    rejected: int
    pending: int
    """Still to do: the next run goes on with them."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run: where from and to, with which model, how many images, how fast.

    `state` is `Completed` or `Failed`, `message` its reason (empty where there is none). `pixels` are those
    of the images that were derained; `wall_seconds` is the time that their rates refer to, `image_seconds` the
    CPU time that workers spent on decoding, deraining and encoding.
    """

    run_id: str
    state: str
    message: str
    scope: Scope
    model_name: str
    model_version: str
    model_digest: str
    started_at: datetime
    finished_at: datetime
    counts: Counts
    pixels: int
    wall_seconds: float
    image_seconds: float = 0.0
    made_before: tuple[MadeBy, ...] = ()
    """Which models made the outputs of the images that were done before."""

    @property
    def images_per_second(self) -> float:
        """Derained images per second of wall time; 0 for a run that took no time."""
        return self.counts.derained / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def megapixels_per_second(self) -> float:
        """Derained megapixels per second of wall time; 0 for a run that took no time."""
        return self.pixels / 1e6 / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def line(self) -> str:
        """Tell the run in one line: `86 derained, 0 rejected, 0 pending in 41 s (2.1 images/s, 3.4 MP/s)`."""
        counts = self.counts
        text = (
            f"{counts.derained:,} derained, {counts.rejected:,} rejected, {counts.pending:,} pending "
            f"in {duration(self.wall_seconds)}"
        )
        if counts.derained:
            text += f" ({rate(self.images_per_second)} images/s, {rate(self.megapixels_per_second)} MP/s)"
        return (
            f"{text}; {counts.done_before:,} done before{self._by_others()}" if counts.done_before else text
        )

    def _by_others(self) -> str:
        """Say by which models earlier outputs were made, where the run's own is not the only one."""
        made = made_by_others(self.made_before, self.model_digest)
        if not made:
            return ""
        return f" ({made}; --redo stale makes what another model made again by {self._label()})"

    def _label(self) -> str:
        return MadeBy(self.model_name, self.model_version, self.model_digest, 0).label

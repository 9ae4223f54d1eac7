"""The summary of a derain-batch run (`RunSummary`): the flow's result, last console line and report header."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infra.records import Scope, model_label
from infra.storage.listing import LeftOut
from tasks.batch.planning.made_by import MadeBy, describe_other_makers
from tasks.media.leaving_out import left_out_parts
from tasks.readable import duration, rate, with_reasons


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a source's objects by outcome in one run."""

    listed: int
    """Images that match the selection."""
    skipped: int
    """Other objects."""
    done_before: int
    """Images already in the catalog: derained with an existing output, or rejected."""
    derained: int
    rejected: int
    pending: int
    """Images left for the next run."""
    rejected_for: Mapping[str, int] = field(default_factory=dict)
    """The images in `rejected`, by reason."""
    rejected_before: Mapping[str, int] = field(default_factory=dict)
    """The rejected images in `done_before`, by reason."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """The objects in `skipped` by reason, and folders that were not entered."""

    @property
    def derained_before(self) -> int:
        """Number of images derained by earlier runs whose output exists."""
        return self.done_before - self.rejects_before

    @property
    def rejects_before(self) -> int:
        """Number of images that earlier runs rejected."""
        return sum(self.rejected_before.values())

    @property
    def by_outcome(self) -> dict[str, int]:
        """Number of images listed, and of those that were done before or ended in each way."""
        return {
            "listed": self.listed,
            "done before": self.derained_before,
            "rejected before": self.rejects_before,
            "derained": self.derained,
            "rejected": self.rejected,
            "pending": self.pending,
        }


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run: its source, destination, model, counts and speed.

    `state` is `Completed` or `Failed`, and `message` its reason, which may be empty. `pixels` counts the pixels of
    derained images; rates refer to `wall_seconds`; `image_seconds` is the CPU time that workers spent on decoding,
    deraining and encoding.
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
    """Models that made the outputs of images that were done before."""
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time by stage: planning, deraining, verifying."""
    phase_seconds: Mapping[str, float] = field(default_factory=dict)
    """CPU time of the workers by phase: decode, derain, encode and so on; see `tasks.workers.timing.Phase`."""

    @property
    def model_label(self) -> str:
        """The model as users write it; see `infra.records.model_label`."""
        return model_label(self.model_name, self.model_version, self.model_digest)

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing to do."""
        return self.queue == 0

    @property
    def queue(self) -> int:
        """Number of pending images at the start of the run."""
        return self.counts.derained + self.counts.rejected + self.counts.pending

    @property
    def images_per_second(self) -> float:
        """Derained images per second of wall time; 0 for a run that took no time."""
        return self.counts.derained / self.wall_seconds if self.wall_seconds > 0 else 0.0

    @property
    def megapixels_per_second(self) -> float:
        """Derained megapixels per second of wall time; 0 for a run that took no time."""
        return self.pixels / 1e6 / self.wall_seconds if self.wall_seconds > 0 else 0.0

    def line(self) -> str:
        """Return the counts of all objects in one line.

        `86 derained, 2 rejected (2 zero bytes), 0 pending in 41 s (2.1 images/s, 3.4 MP/s); 9 done before`.
        """
        counts = self.counts
        rejected = with_reasons(f"{counts.rejected:,} rejected", counts.rejected_for)
        text = (
            f"{counts.derained:,} derained, {rejected}, {counts.pending:,} pending"
            f" in {duration(self.wall_seconds)}"
        )
        if counts.derained:
            text += f" ({rate(self.images_per_second)} images/s, {rate(self.megapixels_per_second)} MP/s)"
        others = self.other_parts()
        return "; ".join([text, ", ".join(others)]) if others else text

    def other_parts(self) -> list[str]:
        """Describe the objects that were not pending: done before, rejected before, left out."""
        counts, parts = self.counts, []
        if counts.derained_before:
            parts.append(f"{counts.derained_before:,} done before{self._by_others()}")
        if counts.rejects_before:
            parts.append(with_reasons(f"{counts.rejects_before:,} rejected before", counts.rejected_before))
        return parts + left_out_parts(counts.left_out)

    def _by_others(self) -> str:
        """Describe the models that made earlier outputs; empty if the run's own is the only one."""
        made = describe_other_makers(self.made_before, self.model_digest)
        if not made:
            return ""
        return f" ({made}; --redo stale derains these again with {self.model_label})"

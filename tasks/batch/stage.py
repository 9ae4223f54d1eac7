"""derain-batch as a stage (`DerainStage`): shards of images, one catalog row per image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.catalog.derained import Catalog
from infra.failpoints import failpoint
from infra.records import DerainRecord, ImageRef
from infra.settings import Settings
from tasks.batch.planning.plan import Plan
from tasks.batch.shards import ShardJob
from tasks.waves.pending import ShardLimits
from tasks.waves.stage import Finished, Outcome, Shard
from tasks.workers.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class DerainStage:
    """Derains the images of one run; see `tasks.waves.stage.Stage`."""

    settings: Settings
    plan: Plan
    job: ShardJob
    catalog: Catalog
    wave_name: str = "wave"
    in_order: bool = False

    def shards(self, workers: int) -> Iterator[Shard[ImageRef]]:
        """Yield shards of the pending images."""
        limits = ShardLimits(self.settings.shard_images, self.settings.shard_pixels, workers)
        return self.plan.shards(limits)

    def outcome(self, row: DerainRecord) -> Outcome:
        """Return the pixels of a derained image, or the reason for its rejection."""
        if row.status == "rejected":
            return Outcome(rejected_for=row.reason or "")
        return Outcome((row.height or 0) * (row.width or 0))

    def commit(self, finished: Sequence[Finished[ImageRef, DerainRecord]]) -> Sequence[Unfinished]:
        """Commit the rows; those of shards marked `replace` replace existing rows of the same identity."""
        failpoint("before-commit")
        for replace in (False, True):
            rows = [row for part in finished if part.shard.replace == replace for row in part.result.records]
            if rows:
                self.catalog.commit(rows, replace=replace)
        failpoint("after-commit")
        return ()

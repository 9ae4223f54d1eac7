"""derain-batch as a stage: photographs in shards, a row of the catalog for each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from infra.catalog.derained import Catalog
from infra.failpoints import failpoint
from infra.records import DerainRecord, ImageRef
from infra.settings import Settings
from tasks.batch.planning import Plan
from tasks.batch.shards import ShardJob
from tasks.waves.pending import ShardLimits
from tasks.waves.stage import Finished, Outcome, Shard, Unfinished


@dataclass(frozen=True, slots=True)
class DerainStage:
    """What one run of derain-batch does; see `tasks.waves.stage.Stage`."""

    settings: Settings
    plan: Plan
    job: ShardJob
    catalog: Catalog
    wave_name: str = "wave"
    in_order: bool = False

    def shards(self, workers: int) -> Iterator[Shard[ImageRef]]:
        """Stream the pending photographs."""
        limits = ShardLimits(self.settings.shard_images, self.settings.shard_pixels, workers)
        return self.plan.shards(limits)

    def outcome(self, row: DerainRecord) -> Outcome:
        """Return the pixels of a derained photograph, or why it was rejected."""
        if row.status == "rejected":
            return Outcome(rejected_for=row.reason or "")
        return Outcome((row.height or 0) * (row.width or 0))

    def commit(self, finished: Sequence[Finished[ImageRef, DerainRecord]]) -> Sequence[Unfinished]:
        """Commit the rows; those of photographs that had one already replace it."""
        failpoint("before-commit")
        for replace in (False, True):
            rows = [row for part in finished if part.shard.replace == replace for row in part.result.records]
            if rows:
                self.catalog.commit(rows, replace=replace)
        failpoint("after-commit")
        return ()

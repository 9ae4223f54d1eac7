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
from tasks.waves.stage import Finished, Shard, Unfinished


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

    def pixels(self, row: DerainRecord) -> int | None:
        """Return the pixels of a derained photograph."""
        return None if row.status == "rejected" else (row.height or 0) * (row.width or 0)

    def commit(self, finished: Sequence[Finished[ImageRef, DerainRecord]]) -> Sequence[Unfinished]:
        """Commit the rows; those of photographs that had one already replace it."""
        failpoint("before-commit")
        for replace in (False, True):
            rows = [row for part in finished if part.shard.replace == replace for row in part.result.records]
            if rows:
                self.catalog.commit(rows, replace=replace)
        failpoint("after-commit")
        return ()

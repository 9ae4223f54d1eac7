"""Ingest as two chained stages: `InspectStage` inspects images, `CropStage` writes the crops of accepted ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from infra.catalog.pool import Pool, Split
from infra.catalog.pool_zarr import make_room
from infra.failpoints import failpoint
from infra.records import ImageRef, PoolRecord
from infra.settings import Settings
from infra.storage.lease import Lease
from tasks.pool.cropping import CropJob, ImageCrops
from tasks.pool.inspection import InspectedImage, InspectJob
from tasks.pool.known_images import KnownImages, image_id
from tasks.pool.planning import SourcePlan
from tasks.pool.rows import Candidate, Origin, deduplicate, place, pool_rows
from tasks.pool.summary import IngestTally
from tasks.waves.executors import Executor
from tasks.waves.pending import ShardLimits, cut
from tasks.waves.runner import Pace, run_stage
from tasks.waves.stage import Finished, Outcome, Shard
from tasks.waves.tally import Tally
from tasks.workers.unfinished import Unfinished

TWIN_NOT_WRITTEN = "the crops of the image that it duplicates were not written"
FIRST = 10
"""Priority of crop shards: ahead of images that wait for inspection."""
UNTRIED = "its crops were not written, nor those of others before it"


@dataclass(frozen=True, slots=True)
class PoolTarget:
    """The destination of the images of one source."""

    pool: Pool
    lease: Lease
    origin: Origin
    splits: Mapping[str, Split]
    known: KnownImages
    replace: bool
    """Whether rows of previously rejected images are replaced."""


@dataclass(frozen=True, slots=True)
class InspectStage:
    """Inspects the images of one source and adds the accepted ones to the pool.

    Acceptance and split depend only on the order of the listing, so a run that was killed and restarted produces
    the same crops.
    """

    settings: Settings
    source: SourcePlan
    job: InspectJob
    crop_job: CropJob
    target: PoolTarget
    executor: Executor
    tally: IngestTally
    wave_name: str = "ingest-wave"
    in_order: bool = True

    def shards(self, workers: int) -> Iterator[Shard[ImageRef]]:
        """Yield shards of images in the order of the listing."""
        limits = ShardLimits(self.settings.shard_images, self.settings.shard_pixels, workers)
        return cut(self.source.pending.refs(), self.source.pixels, limits)

    def outcome(self, row: InspectedImage) -> Outcome:
        """Return the pixels of an image that was not rejected, or the reason for its rejection."""
        if row.reason is not None:
            return Outcome(rejected_for=row.reason)
        return Outcome((row.height or 0) * (row.width or 0))

    def commit(self, finished: Sequence[Finished[ImageRef, InspectedImage]]) -> Sequence[Unfinished]:
        """Remove duplicates in order, write the crops of accepted images, then commit all rows."""
        target, origin = self.target, self.target.origin
        candidates = deduplicate(origin.source, _in_order(finished), target.known.duplicates)
        first = target.known.next_shard(origin.zarr_group)
        shards = list(place(candidates, first))
        failed = self._write(shards)
        rows = self._rows(candidates, first, {image_id(origin.source, ref) for ref in failed})
        target.lease.check()
        failpoint("before-pool-commit")
        target.pool.commit(rows, replace=target.replace)
        failpoint("after-pool-commit")
        target.known.shards.update((origin.zarr_group, shard.index) for shard in shards)
        self.tally.add(rows)
        recorded = {row.image_id for row in rows}
        return [
            Unfinished(each.inspected.ref.key, failed.get(each.inspected.ref, TWIN_NOT_WRITTEN))
            for each in candidates
            if each.image_id not in recorded
        ]

    def _write(self, shards: list[Shard[ImageCrops]]) -> dict[ImageRef, str]:
        """Write Zarr shards; return the images with a missing crop, and the reasons."""
        if not shards:
            return {}
        make_room(self.crop_job.workspace, self.crop_job.group, shards[-1].index + 1)
        stage = CropStage(self.crop_job, shards)
        pace = replace(Pace.of(self.settings), priority=FIRST)
        tally = run_stage(stage, self.target.lease, self.executor, pace, _ignore)
        why = {item.key: item.reason for item in tally.unfinished}
        return {
            image.ref: why.get(image.key, tally.stopped_by or UNTRIED)
            for shard in shards
            for image in shard.items
            if (shard.index, image.ref) not in stage.written
        }

    def _rows(
        self, candidates: Sequence[Candidate], first_shard: int, failed: set[str]
    ) -> tuple[PoolRecord, ...]:
        """Return the rows of all images except failed ones and their duplicates."""
        self.target.known.duplicates.remove(failed)
        return tuple(
            row
            for row in pool_rows(candidates, self.target.origin, self.target.splits, first_shard)
            if row.image_id not in failed and row.duplicate_of not in failed
        )


@dataclass(frozen=True, slots=True)
class CropStage:
    """Writes the crops of accepted images as whole Zarr shards; `InspectStage` records them."""

    job: CropJob
    placed: Sequence[Shard[ImageCrops]]
    written: set[tuple[int, ImageRef]] = field(default_factory=set)
    """Shard and image of each written crop."""
    wave_name: str | None = None
    in_order: bool = False

    def shards(self, workers: int) -> Iterator[Shard[ImageCrops]]:
        """Yield the Zarr shards."""
        return iter(self.placed)

    def outcome(self, row: ImageRef) -> Outcome:
        """Count no pixels: those of the image were counted during inspection."""
        return Outcome()

    def commit(self, finished: Sequence[Finished[ImageCrops, ImageRef]]) -> Sequence[Unfinished]:
        """Remember the written crops."""
        self.written.update((part.shard.index, ref) for part in finished for ref in part.result.records)
        return ()


def _in_order(finished: Sequence[Finished[ImageRef, InspectedImage]]) -> list[InspectedImage]:
    """Return the inspected images in the order of the listing; the shards are already in order."""
    found: list[InspectedImage] = []
    for part in finished:
        place_of = {ref: at for at, ref in enumerate(part.shard.items)}
        found += sorted(part.result.records, key=lambda image: place_of[image.ref])
    return found


def _ignore(tally: Tally) -> None:
    """Show nothing, because crops are part of a wave of images."""

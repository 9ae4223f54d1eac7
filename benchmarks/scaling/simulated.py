"""A stage like derain-batch whose workers sleep instead of reading, deraining and writing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import md5

from infra.catalog.derained import Catalog
from infra.records import DerainRecord, ImageRef, Scope
from tasks.waves.stage import Finished, Outcome, Shard, ShardResult
from tasks.workers.unfinished import Unfinished

SCOPE = Scope("s3://photos/rainy", "s3://derained", "same-q92")


@dataclass(frozen=True, slots=True)
class SimulatedJob:
    """Job of a simulated worker: wait, then return the rows of a shard."""

    run_id: str
    seconds: float
    is_divisible: bool = True

    def do(self, shard: Shard[ImageRef]) -> ShardResult[DerainRecord]:
        """Sleep, then return one row per image."""
        time.sleep(self.seconds)
        return ShardResult(tuple(self._record(ref) for ref in shard.items), (), 0.0)

    def try_without_image(self) -> bool:
        """Return that the worker always works."""
        return True

    def killed(self, shard: Shard[ImageRef]) -> ShardResult[DerainRecord]:
        """Return nothing: no simulated worker dies."""
        return ShardResult((), (), 0.0)

    def _record(self, ref: ImageRef) -> DerainRecord:
        identity = (SCOPE.source, ref.key, ref.etag, SCOPE.destination, SCOPE.export)
        made = ("derained", None, ref.key, md5(ref.key.encode()).hexdigest() * 2)
        model = ("derain-student", "1", "digest-1", self.run_id)
        statistics = (0.02, 0.4, 0.2, 0.3)
        return DerainRecord(
            *identity, ref.size_bytes, 1080, 1920, *made, *model, *statistics, datetime.now(UTC), 1, "etag"
        )


@dataclass(slots=True)
class SimulatedStage:
    """Stage of images in shards of one size, whose rows go to a real catalog."""

    catalog: Catalog
    job: SimulatedJob
    images: range
    shard_images: int
    wave_name: str | None = None
    in_order: bool = False
    commit_seconds: list[float] | None = None
    """List to which the CPU seconds of each commit are appended, if given."""

    def shards(self, workers: int) -> Iterator[Shard[ImageRef]]:
        """Yield the images in shards."""
        for index, start in enumerate(range(self.images.start, self.images.stop, self.shard_images)):
            numbers = range(start, min(start + self.shard_images, self.images.stop))
            yield Shard(index, tuple(map(image, numbers)), replace=False)

    def outcome(self, row: DerainRecord) -> Outcome:
        """Return the pixels of a row."""
        return Outcome((row.height or 0) * (row.width or 0))

    def commit(self, finished: Sequence[Finished[ImageRef, DerainRecord]]) -> Sequence[Unfinished]:
        """Commit all rows together."""
        started = time.process_time()
        rows = [row for part in finished for row in part.result.records]
        self.catalog.commit(rows, replace=False)
        if self.commit_seconds is not None:
            self.commit_seconds.append(time.process_time() - started)
        return ()


def image(number: int) -> ImageRef:
    """Return the reference of the photograph with a number."""
    key = f"site-{number // 5000:05d}/2025/11/camera-03/frame-{number:09d}.jpg"
    return ImageRef(key, md5(b"%d" % number).hexdigest(), 400_000)

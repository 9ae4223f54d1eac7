"""The deraining job (`derain_shard`): fetch, decode, derain, encode and put each image of a shard.

Separate threads prefetch images and write outputs, so that the one computing thread does not wait for storage. A
fault of an image becomes a row with a reason; a fault of storage or workers leaves the image pending.
"""

from __future__ import annotations

import functools
import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import numpy as np

from infra.errors import STORAGE_ERRORS, KeyRefused
from infra.failpoints import failpoint
from infra.records import DerainRecord, ImageRef, Scope, StoredObject
from models.engine import Begun, TilingRefused
from models.images import RgbBatch
from tasks.codec import ImageRejected, Picture
from tasks.media.medium import MediumSpec
from tasks.media.opening import open_medium
from tasks.statistics import image_statistics
from tasks.waves.stage import Shard, ShardResult, unfinished
from tasks.workers.loaded import StagedModel, loaded_engine
from tasks.workers.reading import SHARD_SECONDS, ReadAhead, Reading
from tasks.workers.timing import Phase, ShardClock

T = TypeVar("T")
WRITE_BEHIND = 3
"""Largest number of outputs still being written while the next image is derained."""
DECODERS = 8
"""Largest number of threads that decode images ahead of a GPU."""
BATCH_PIXELS = 64_000_000
"""Largest number of pixels per forward pass, unless a single image has more."""
REJECTED_BY_DEATH = "the process that derains it dies each time"


@dataclass(frozen=True, slots=True)
class ShardJob:
    """The state that all shards of a run share; sent with each, without pixels, weights or credentials."""

    scope: Scope
    medium: MediumSpec
    model: StagedModel
    run_id: str
    device: str
    tile_pixels: int
    is_divisible: bool = True

    def do(self, shard: Shard[ImageRef]) -> ShardResult[DerainRecord]:
        """See `derain_shard`."""
        return derain_shard(self, shard)

    def try_without_image(self) -> bool:
        """See `can_derain`."""
        return can_derain(self)

    def killed(self, shard: Shard[ImageRef]) -> ShardResult[DerainRecord]:
        """Reject an image that kills every process that derains it."""
        rows = tuple(rejected_record(self, ref, REJECTED_BY_DEATH) for ref in shard.items)
        return ShardResult(rows, (), 0.0)


@dataclass(frozen=True, slots=True)
class _Rainy:
    """An image to derain, and the key of its output."""

    ref: ImageRef
    output_key: str
    data: bytes
    picture: Picture


def derain_shard(job: ShardJob, shard: Shard[ImageRef]) -> ShardResult[DerainRecord]:
    """Derain the images of a shard and write their outputs; the coordinator records them.

    Parameters
    ----------
    job : ShardJob
        Source, destination, model and limits of the run.
    shard : Shard
        The images.

    Returns
    -------
    ShardResult
        One row per derained or rejected image; the others are unfinished, or were not started in time.
    """
    try:
        run = _ShardRun(job)
    except STORAGE_ERRORS as error:  # no model or no array here: other shards may succeed on other workers
        return unfinished(shard, str(error))
    return run.run(shard.items)


class _ShardRun:
    """One pass over the images of a shard, and its results so far."""

    def __init__(self, job: ShardJob) -> None:
        self.job = job
        self.medium = open_medium(job.medium)
        self.clock = ShardClock()
        with self.clock.phase(Phase.LOAD):
            self.engine = loaded_engine(job.model, job.device, job.tile_pixels)
        self.reading = Reading(self.medium, SHARD_SECONDS, read_ahead(self.engine.batch_images), self.clock)
        self.records: list[DerainRecord] = []
        self.putting: deque[tuple[DerainRecord, ImageRef, Future[StoredObject]]] = deque()

    def run(self, refs: tuple[ImageRef, ...]) -> ShardResult[DerainRecord]:
        begun: deque[tuple[list[_Rainy], Begun]] = deque()
        with ThreadPoolExecutor(WRITE_BEHIND) as writers:
            for batch in same_sized(self._rainy(refs), self.engine.batch_images):
                started = self._attempt(batch, functools.partial(self._begin, batch))
                if started is not None:
                    begun.append((batch, started))
                while len(begun) > self.engine.ahead:
                    self._finish(*begun.popleft(), writers)
            while begun:
                self._finish(*begun.popleft(), writers)
            self._finish_puts(0)
        reading = self.reading
        rejected = (rejected_record(self.job, ref, reason) for ref, reason in reading.rejected)
        records = (*self.records, *rejected)
        timing, seconds = reading.clock.read(), reading.clock.image_seconds
        return ShardResult(records, tuple(reading.unfinished), seconds, reading.left, timing)

    def _rainy(self, refs: tuple[ImageRef, ...]) -> Iterator[_Rainy]:
        """Yield the images that can be read and whose output key is valid."""
        for image in self.reading.decoded(refs):
            try:
                yield _Rainy(image.ref, self.medium.output_key(image.ref), image.data, image.picture)
            except ImageRejected as refused:
                self.reading.rejected.append((image.ref, refused.reason))

    def _begin(self, batch: list[_Rainy]) -> Begun:
        return self.engine.begin(np.stack([image.picture.rgb for image in batch]))

    def _finish(self, batch: list[_Rainy], begun: Begun, writers: ThreadPoolExecutor) -> None:
        """Encode the images of a batch, once they are derained, and hand them to the writers."""
        derained = self._attempt(batch, begun.result)
        for image, pixels in zip(batch, derained, strict=True) if derained is not None else ():
            finished = self._encoded(image, pixels)
            if finished is not None:
                record, encoded = finished
                put = writers.submit(self._put, image.output_key, encoded)
                self.putting.append((record, image.ref, put))
        self._finish_puts(WRITE_BEHIND)

    def _attempt(self, batch: list[_Rainy], work: Callable[[], T]) -> T | None:
        """Do the network's work on a batch; return None if it fails, with its images rejected or left pending."""
        try:
            with self.clock.phase(Phase.DERAIN):
                return work()
        except TilingRefused as refused:
            reason = f"{refused}; take a student or raise DERAIN_TILE_PIXELS, with --redo rejected"
            for image in batch:
                self.reading.reject(image.ref, image.data, ImageRejected(reason))
        except Exception as error:  # noqa: BLE001 - see Reading.unforeseen
            for image in batch:
                self.reading.unforeseen(image.ref, error)
        return None

    def _encoded(self, image: _Rainy, derained: RgbBatch) -> tuple[DerainRecord, bytes] | None:
        try:
            with self.clock.phase(Phase.ENCODE):
                encoded = self.medium.encode(derained, image.picture)
            return self._record(image, derained, encoded), encoded
        except ImageRejected as rejected:
            self.reading.reject(image.ref, image.data, rejected)
        except Exception as error:  # noqa: BLE001 - see Reading.unforeseen
            self.reading.unforeseen(image.ref, error)
        return None

    def _record(self, image: _Rainy, derained: RgbBatch, encoded: bytes) -> DerainRecord:
        rainy, dropped = image.picture.rgb, self.medium.dropped(image.picture)
        with self.clock.phase(Phase.STATISTICS):
            statistics = image_statistics(rainy, derained)
        with self.clock.phase(Phase.HASH):
            digest = hashlib.sha256(encoded).hexdigest()
        reason = f"dropped: {', '.join(dropped)}" if dropped else None
        return replace(
            _record(self.job, image.ref, "derained", reason),
            height=rainy.shape[0],
            width=rainy.shape[1],
            output_key=image.output_key,
            output_sha256=digest,
            **asdict(statistics),
        )

    def _put(self, key: str, data: bytes) -> StoredObject:
        with self.clock.phase(Phase.PUT):
            stored = self.medium.put(key, data)
        failpoint("after-put", key)
        return stored

    def _finish_puts(self, leave: int) -> None:
        """Wait for puts until at most `leave` are in flight."""
        while len(self.putting) > leave:
            record, ref, put = self.putting.popleft()
            try:
                with self.clock.phase(Phase.AWAIT_PUT):
                    stored = put.result()
            except KeyRefused as refused:
                reason = f"its output cannot be written ({refused}); --redo rejected tries again"
                self.reading.rejected.append((ref, reason))
            except STORAGE_ERRORS as error:
                self.reading.fault(ref, error, self.reading.puts)
            except Exception as error:  # noqa: BLE001 - see Reading.unforeseen
                self.reading.unforeseen(ref, error)
            else:
                self.records.append(replace(record, output_size=stored.size_bytes, output_etag=stored.etag))
                self.reading.puts.end()


def read_ahead(batch_images: int) -> ReadAhead:
    """Return how much to read ahead: two batches, decoded in threads, if batches have several images."""
    if batch_images == 1:
        return ReadAhead()
    return ReadAhead(2 * batch_images, min(DECODERS, os.cpu_count() or 1), decodes=True)


def same_sized(images: Iterable[_Rainy], most: int) -> Iterator[list[_Rainy]]:
    """Group images by size into batches of at most `most` images and `BATCH_PIXELS` pixels.

    A batch is yielded once it is full. Waiting images of all sizes have at most `BATCH_PIXELS` pixels together: if
    another image would exceed that, the largest batch is yielded first.
    """
    waiting: dict[tuple[int, int], list[_Rainy]] = {}
    for image in images:
        size = (image.picture.height, image.picture.width)
        pixels = math.prod(size)
        while waiting and sum(map(_pixels, waiting.values())) + pixels > BATCH_PIXELS:
            largest = max(waiting, key=lambda each: _pixels(waiting[each]))
            yield waiting.pop(largest)
        batch = waiting.setdefault(size, [])
        batch.append(image)
        if len(batch) == most or _pixels(batch) + pixels > BATCH_PIXELS:
            yield waiting.pop(size)
    yield from waiting.values()


def _pixels(batch: list[_Rainy]) -> int:
    return sum(image.picture.height * image.picture.width for image in batch)


def can_derain(job: ShardJob) -> bool:
    """Derain a grey square and return whether that worked, to tell faults of a worker from faults of an image."""
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    return loaded_engine(job.model, job.device, job.tile_pixels).derain(grey).shape == grey.shape


def rejected_record(job: ShardJob, ref: ImageRef, reason: str) -> DerainRecord:
    """Make the row of an image that cannot be derained."""
    return _record(job, ref, "rejected", reason)


def _record(job: ShardJob, ref: ImageRef, status: str, reason: str | None) -> DerainRecord:
    """Make the row of an image without the values that only an output has."""
    return DerainRecord(
        source=job.scope.source,
        key=ref.key,
        etag=ref.etag,
        destination=job.scope.destination,
        export=job.scope.export,
        size_bytes=ref.size_bytes,
        height=None,
        width=None,
        status=status,
        reason=reason,
        output_key=None,
        output_sha256=None,
        model_name=job.model.name,
        model_version=job.model.version,
        model_digest=job.model.digest,
        run_id=job.run_id,
        rain_energy=None,
        brightness=None,
        contrast=None,
        sharpness=None,
        derained_at=datetime.now(UTC),
    )

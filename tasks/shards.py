"""What a worker does with a shard: fetch, decode, derain, encode, put, for each of its images.

Fetching runs ahead and putting lags behind in threads of their own, so that the one computing thread does not
wait for storage. A fault of an image becomes a row with a reason; a fault of the world leaves the image pending.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

import numpy as np

from infra.fault_points import fault_point
from infra.faults import WorldFault, one_line
from infra.records import DerainRecord, ImageRef, Scope
from infra.storage import AccessDenied, KeyRefused, Missing
from models.engine import Batch, TilingRefused
from tasks.images import ImageRejected, Picture
from tasks.loaded import StagedModel, loaded_engine
from tasks.media import open_medium
from tasks.medium import Medium, MediumSpec
from tasks.pending import Shard
from tasks.statistics import image_statistics

logger = logging.getLogger(__name__)

READ_AHEAD = 3
"""Images that are fetched before they are needed."""
WRITE_BEHIND = 3
"""Outputs that may still be on their way while the next image is derained."""
FAULTS_IN_A_ROW = 3
"""After so many faults of the world, one after the other, the rest of the shard is left pending untried."""
STORAGE_FAULTS = (WorldFault, Missing, AccessDenied)
"""What is no fault of the image: it stays pending."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """What all shards of a run have in common; sent with each, without pixels, weights or credentials."""

    scope: Scope
    medium: MediumSpec
    model: StagedModel
    run_id: str
    device: str
    tile_pixels: int


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An image that stays pending, and what of the world was in the way."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShardResult:
    """Rows of the images that are done or rejected, the images that stay pending, and what it cost."""

    records: tuple[DerainRecord, ...]
    unfinished: tuple[Unfinished, ...]
    image_seconds: float
    """CPU seconds that decoding, deraining and encoding took."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """An image whose pixels are there, and the bytes they came from."""

    ref: ImageRef
    output_key: str
    data: bytes
    picture: Picture


def derain_shard(job: ShardJob, shard: Shard) -> ShardResult:
    """Derain the images of a shard and put their outputs; recording them is up to the coordinator.

    Parameters
    ----------
    job : ShardJob
        Source, destination, model and limits of the run.
    shard : Shard
        The images.

    Returns
    -------
    ShardResult
        A row for each image that is done or rejected; the others are unfinished.
    """
    try:
        run = _ShardRun(job)
    except STORAGE_FAULTS as error:  # no model here, or no array: other shards may fare better elsewhere
        return ShardResult((), tuple(Unfinished(ref.key, str(error)) for ref in shard.refs), 0.0)
    return run.run(shard.refs)


class _ShardRun:
    """One pass over the images of a shard, and what it has got to so far."""

    def __init__(self, job: ShardJob) -> None:
        self.job = job
        self.medium = open_medium(job.medium)
        self.engine = loaded_engine(job.model, job.device, job.tile_pixels)
        self.records: list[DerainRecord] = []
        self.unfinished: list[Unfinished] = []
        self.putting: deque[tuple[DerainRecord, ImageRef, Future[None]]] = deque()
        self.image_seconds = 0.0
        self.faults_in_a_row = 0

    def run(self, refs: tuple[ImageRef, ...]) -> ShardResult:
        with ThreadPoolExecutor(READ_AHEAD) as readers, ThreadPoolExecutor(WRITE_BEHIND) as writers:
            for batch in same_sized(self._decoded(readers, refs), self.engine.batch_images):
                for image, record, encoded in self._derained(batch):
                    put = writers.submit(_put, self.medium, image.output_key, encoded)
                    self.putting.append((record, image.ref, put))
                self._finish_puts(WRITE_BEHIND)
            self._finish_puts(0)
        return ShardResult(tuple(self.records), tuple(self.unfinished), self.image_seconds)

    def _decoded(self, readers: ThreadPoolExecutor, refs: tuple[ImageRef, ...]) -> Iterator[_Decoded]:
        """Yield the images that could be fetched and decoded; the others become rows or stay unfinished."""
        for ref, fetching in _fetch_ahead(readers, self.medium, refs):
            if self.faults_in_a_row >= FAULTS_IN_A_ROW:
                fetching.cancel()
                self.unfinished.append(Unfinished(ref.key, "left untried after faults in a row"))
                continue
            try:
                key = self.medium.output_key(ref)
                data = fetching.result()
            except (ImageRejected, KeyRefused) as refused:
                self.records.append(rejected_record(self.job, ref, str(refused)))
            except STORAGE_FAULTS as error:
                self._fault(ref, error)
            else:
                picture = self._decode(ref, data)
                if picture is not None:
                    yield _Decoded(ref, key, data, picture)

    def _decode(self, ref: ImageRef, data: bytes) -> Picture | None:
        fault_point("decode", ref.key)
        with self._clocked():
            try:
                return self.medium.decode(data)
            except ImageRejected as rejected:
                self._reject(ref, data, rejected)
            except Exception as error:  # noqa: BLE001 - see _unforeseen
                self._unforeseen(ref, error)
        return None

    def _derained(self, batch: list[_Decoded]) -> Iterator[tuple[_Decoded, DerainRecord, bytes]]:
        with self._clocked():
            try:
                derained = self.engine.derain(np.stack([image.picture.rgb for image in batch]))
            except TilingRefused as refused:
                reason = f"{refused}; take a student or raise DERAIN_TILE_PIXELS, with --redo rejected"
                for image in batch:
                    self._reject(image.ref, image.data, ImageRejected(reason))
                return
            except Exception as error:  # noqa: BLE001 - see _unforeseen
                for image in batch:
                    self._unforeseen(image.ref, error)
                return
        for image, pixels in zip(batch, derained, strict=True):
            with self._clocked():
                finished = self._encoded(image, pixels)
            if finished is not None:
                yield image, *finished

    def _encoded(self, image: _Decoded, derained: Batch) -> tuple[DerainRecord, bytes] | None:
        try:
            encoded = self.medium.encode(derained, image.picture)
            return _derained_record(self.job, image, derained, encoded), encoded
        except ImageRejected as rejected:
            self._reject(image.ref, image.data, rejected)
        except Exception as error:  # noqa: BLE001 - see _unforeseen
            self._unforeseen(image.ref, error)
        return None

    def _reject(self, ref: ImageRef, data: bytes, rejected: ImageRejected) -> None:
        """Reject an image if it is the same when fetched again; storage may have handed out damaged bytes."""
        try:
            is_same = self.medium.fetch(ref) == data
        except STORAGE_FAULTS as error:
            self._fault(ref, error)
            return
        if is_same:
            self.records.append(rejected_record(self.job, ref, rejected.reason))
        else:
            self.unfinished.append(Unfinished(ref.key, "two fetches gave different bytes"))

    def _finish_puts(self, leave: int) -> None:
        """Wait for puts until at most `leave` are under way."""
        while len(self.putting) > leave:
            record, ref, put = self.putting.popleft()
            try:
                put.result()
            except KeyRefused as refused:
                self.records.append(rejected_record(self.job, ref, str(refused)))
            except STORAGE_FAULTS as error:
                self._fault(ref, error)
            else:
                self.records.append(record)
                self.faults_in_a_row = 0

    def _fault(self, ref: ImageRef, error: Exception) -> None:
        self.unfinished.append(Unfinished(ref.key, str(error)))
        if not isinstance(error, Missing):  # an image that was taken away says nothing of the next one
            self.faults_in_a_row += 1

    def _unforeseen(self, ref: ImageRef, error: Exception) -> None:
        """Leave an image pending that met a lack of memory or an error of ours: the others shall not suffer."""
        logger.warning("%s stays pending", ref.key, exc_info=error)
        self._fault(ref, WorldFault(f"{type(error).__name__}: {one_line(error)}"))

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        started = time.thread_time()
        try:
            yield
        finally:
            self.image_seconds += time.thread_time() - started


def same_sized(images: Iterable[_Decoded], most: int) -> Iterator[list[_Decoded]]:
    """Group neighbours of one size, up to `most` of them: what one forward pass takes."""
    batch: list[_Decoded] = []
    for image in images:
        if batch and (len(batch) == most or image.picture.rgb.shape != batch[0].picture.rgb.shape):
            yield batch
            batch = []
        batch.append(image)
        if len(batch) == most:
            yield batch
            batch = []
    if batch:
        yield batch


def _fetch_ahead(
    readers: ThreadPoolExecutor, medium: Medium, refs: tuple[ImageRef, ...]
) -> Iterator[tuple[ImageRef, Future[bytes]]]:
    """Yield each image with its bytes on their way, a few images early."""
    under_way: deque[tuple[ImageRef, Future[bytes]]] = deque()
    for ref in refs:
        under_way.append((ref, readers.submit(medium.fetch, ref)))
        if len(under_way) > READ_AHEAD:
            yield under_way.popleft()
    yield from under_way


def _put(medium: Medium, key: str, data: bytes) -> None:
    medium.put(key, data)
    fault_point("after-put", key)


def _derained_record(job: ShardJob, image: _Decoded, derained: Batch, encoded: bytes) -> DerainRecord:
    rainy = image.picture.rgb
    return replace(
        rejected_record(job, image.ref, ""),
        status="derained",
        reason=None,
        height=rainy.shape[0],
        width=rainy.shape[1],
        output_key=image.output_key,
        output_sha256=hashlib.sha256(encoded).hexdigest(),
        **asdict(image_statistics(rainy, derained)),
    )


def can_derain(job: ShardJob) -> bool:
    """Derain a grey square: tells whether a worker can do without any image what it should do with one."""
    grey = np.full((1, 64, 64, 3), 128, np.uint8)
    return loaded_engine(job.model, job.device, job.tile_pixels).derain(grey).shape == grey.shape


def rejected_record(job: ShardJob, ref: ImageRef, reason: str) -> DerainRecord:
    """Make the row of an image that cannot be derained."""
    return DerainRecord(
        source=job.scope.source,
        key=ref.key,
        etag=ref.etag,
        destination=job.scope.destination,
        export=job.scope.export,
        size_bytes=ref.size_bytes,
        height=None,
        width=None,
        status="rejected",
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

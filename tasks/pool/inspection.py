"""The inspection job (`InspectJob`): checks whether an image is suitable for the pool and chooses its crops.

Workers return no pixels: an accepted image is read again when its crops are written, because duplicates are known
only after all images of a wave have been inspected.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import imagehash
import numpy as np
from PIL import Image

from infra.errors import STORAGE_ERRORS
from infra.limits import IngestLimits
from infra.records import ImageRef
from models.images import RgbImage
from tasks.media.medium import MediumSpec
from tasks.media.opening import open_medium
from tasks.pool.crops import Box, boxes_by_energy, streak_energy, streak_response
from tasks.statistics import image_statistics
from tasks.waves.stage import Shard, ShardResult, unfinished
from tasks.workers.reading import SHARD_SECONDS, Reading
from tasks.workers.timing import Phase

REJECTED_BY_DEATH = "the process that looks at it dies each time"


@dataclass(frozen=True, slots=True)
class QualityStats:
    """Label-free statistics of an image or a crop; grey levels in [0, 1]."""

    brightness: float
    contrast: float
    sharpness: float
    streak_energy: float


@dataclass(frozen=True, slots=True)
class InspectedCrop:
    """A part of an image that is suitable for training."""

    box: Box
    quality: QualityStats


@dataclass(frozen=True, slots=True)
class InspectedImage:
    """The result of inspecting one image; `reason` says why it is unsuitable, and is None if it is suitable."""

    ref: ImageRef
    reason: str | None
    height: int | None = None
    width: int | None = None
    pixels_sha256: str | None = None
    perceptual_hash: str | None = None
    quality: QualityStats | None = None
    crops: tuple[InspectedCrop, ...] = ()


@dataclass(frozen=True, slots=True)
class InspectJob:
    """The job that inspects images of one source; see `tasks.waves.stage.Job`."""

    medium: MediumSpec
    limits: IngestLimits
    run_id: str
    is_divisible: bool = True

    def do(self, shard: Shard[ImageRef]) -> ShardResult[InspectedImage]:
        """Inspect the images of a shard."""
        try:
            reading = Reading(open_medium(self.medium), SHARD_SECONDS)
        except STORAGE_ERRORS as error:
            return unfinished(shard, str(error))
        found = tuple(self._inspected(reading, shard.items))
        rejected = (InspectedImage(ref, reason) for ref, reason in reading.rejected)
        records = (*found, *rejected)
        return ShardResult(records, tuple(reading.unfinished), reading.clock.image_seconds, reading.left)

    def try_without_image(self) -> bool:
        """Inspect a grey square."""
        return (
            inspect_image(ImageRef("", "", 0), np.full((64, 64, 3), 128, np.uint8), self.limits) is not None
        )

    def killed(self, shard: Shard[ImageRef]) -> ShardResult[InspectedImage]:
        """Reject an image that kills every process that inspects it."""
        return ShardResult(tuple(InspectedImage(ref, REJECTED_BY_DEATH) for ref in shard.items), (), 0.0)

    def _inspected(self, reading: Reading, refs: tuple[ImageRef, ...]) -> Iterator[InspectedImage]:
        for image in reading.decoded(refs):
            with reading.clock.phase(Phase.STATISTICS):
                try:
                    inspected = inspect_image(image.ref, image.picture.rgb, self.limits)
                except Exception as error:  # noqa: BLE001 - see Reading.unforeseen
                    reading.unforeseen(image.ref, error)
                    continue
            yield inspected


def inspect_image(ref: ImageRef, rgb: RgbImage, limits: IngestLimits) -> InspectedImage:
    """Measure an image, compare it with the limits, and choose its crops.

    Parameters
    ----------
    ref : ImageRef
        The image.
    rgb : ndarray
        (H, W, 3) uint8, upright.
    limits : IngestLimits
        Limits below which an image counts as too small, blurred, flat or noise, and the number of crops per image.
    """
    height, width = rgb.shape[:2]
    if min(height, width) < limits.min_side:
        small = f"too small ({width} x {height} pixels, at least {limits.min_side} a side)"
        return InspectedImage(ref, small, height, width)
    response = streak_response(rgb)
    quality = _quality_stats(rgb, response)
    reason = _fault(quality, limits) or _noise_fault(rgb, limits)
    crops = () if reason else tuple(islice(_good_crops(rgb, response, limits), limits.crops_per_image))
    if not reason and not crops:
        reason = "no part of it is sharp and has contrast"
    return InspectedImage(
        ref, reason, height, width, pixels_sha256(rgb), perceptual_hash(rgb), quality, crops
    )


def pixels_sha256(rgb: RgbImage) -> str:
    """Digest the size and pixels of an image, independently of its file format."""
    digest = hashlib.sha256(f"{rgb.shape[0]}x{rgb.shape[1]}".encode())
    digest.update(np.ascontiguousarray(rgb).data)
    return digest.hexdigest()


def perceptual_hash(rgb: RgbImage) -> str:
    """Return the perceptual hash of an image, 16 hex digits: which of 64 low DCT frequencies exceed the median.

    See Zauner (2010) and the library `imagehash`; near-identical images differ in few of the 64 bits.
    """
    return str(imagehash.phash(Image.fromarray(rgb)))


def neighbour_correlation(rgb: RgbImage) -> float:
    """Return the correlation of neighbouring pixels: about 0 for noise, 0.75 to 1 for photographs.

    The mean of the vertical and horizontal lag-1 autocorrelations of the luma; 1 for an image of one colour.
    """
    luma = np.asarray(Image.fromarray(rgb).convert("L"), np.float32)
    luma -= luma.mean()
    variance = float(np.mean(luma**2))
    if variance == 0:
        return 1.0
    down, across = np.mean(luma[1:] * luma[:-1]), np.mean(luma[:, 1:] * luma[:, :-1])
    return float(down + across) / (2 * variance)


def _good_crops(rgb: RgbImage, response: RgbImage, limits: IngestLimits) -> Iterator[InspectedCrop]:
    for box in boxes_by_energy(response):
        rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
        quality = _quality_stats(rgb[rows, columns], response[rows, columns])
        if _fault(quality, limits) is None:
            yield InspectedCrop(box, quality)


def _quality_stats(rgb: RgbImage, response: RgbImage) -> QualityStats:
    statistics = image_statistics(rgb, rgb)
    return QualityStats(
        statistics.brightness, statistics.contrast, statistics.sharpness, streak_energy(response)
    )


def _fault(quality: QualityStats, limits: IngestLimits) -> str | None:
    if quality.contrast < limits.min_contrast:
        return f"flat (contrast {quality.contrast:.3f}, at least {limits.min_contrast:g})"
    if quality.sharpness < limits.min_sharpness:
        return f"blurred (sharpness {quality.sharpness:.4f}, at least {limits.min_sharpness:g})"
    return None


def _noise_fault(rgb: RgbImage, limits: IngestLimits) -> str | None:
    correlation = neighbour_correlation(rgb)
    if correlation >= limits.min_correlation:
        return None
    return f"noise (neighbouring pixels correlate by {correlation:.2f}, at least {limits.min_correlation:g})"

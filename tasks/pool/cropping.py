"""The crop-writing job (`CropJob`): a worker rereads images, cuts their crops and writes one whole Zarr shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infra.catalog.pool_zarr import CROP_SIDE, SHARD_CROPS, write_shard
from infra.errors import STORAGE_ERRORS
from infra.failpoints import failpoint
from infra.records import ImageRef
from tasks.media.medium import MediumSpec
from tasks.media.opening import open_medium
from tasks.pool.crops import Box, cut
from tasks.pool.inspection import pixels_sha256
from tasks.waves.stage import Shard, ShardResult, unfinished
from tasks.workers.reading import Decoded, Reading
from tasks.workers.unfinished import Unfinished

CHANGED = "its pixels changed while it was ingested"


@dataclass(frozen=True, slots=True)
class PlacedCrop:
    """A crop and its row in its shard."""

    row: int
    box: Box


@dataclass(frozen=True, slots=True)
class ImageCrops:
    """The crops of one image that lie in one shard."""

    ref: ImageRef
    pixels_sha256: str
    crops: tuple[PlacedCrop, ...]

    @property
    def key(self) -> str:
        """Key of the image."""
        return self.ref.key


@dataclass(frozen=True, slots=True)
class CropJob:
    """The job that writes crops of one source into one Zarr group; see `tasks.waves.stage.Job`."""

    medium: MediumSpec
    workspace: str
    group: str
    run_id: str
    is_divisible: bool = False
    """A Zarr shard is written whole."""

    def do(self, shard: Shard[ImageCrops]) -> ShardResult[ImageRef]:
        """Write Zarr shard `shard.index`; return the images whose crops were written, possibly not all."""
        images = {image.ref: image for image in shard.items}
        try:
            reading = Reading(open_medium(self.medium))
            crops = np.zeros((SHARD_CROPS, CROP_SIDE, CROP_SIDE, 3), np.uint8)
            sizes = np.zeros((SHARD_CROPS, 2), np.uint16)
            cut_out = [
                image.ref
                for image in reading.decoded(tuple(images))
                if _cut_out(image, images[image.ref], reading, crops, sizes)
            ]
            if cut_out:
                write_shard(self.workspace, self.group, shard.index, crops, sizes)
        except STORAGE_ERRORS as error:
            return unfinished(shard, str(error))
        failpoint("after-shard", str(shard.index))
        changed = (Unfinished(ref.key, reason) for ref, reason in reading.rejected)
        return ShardResult(tuple(cut_out), (*reading.unfinished, *changed), reading.clock.image_seconds)

    def try_without_image(self) -> bool:
        """Return True: no part of this job can run without an image."""
        return True

    def killed(self, shard: Shard[ImageCrops]) -> ShardResult[ImageRef]:
        """Leave the images pending: all were read before, so none of them can be identified as the cause."""
        return unfinished(shard, "the process that writes its crops dies each time")


def _cut_out(
    image: Decoded, wanted: ImageCrops, reading: Reading, crops: np.ndarray, sizes: np.ndarray
) -> bool:
    """Copy the crops of an image into their rows, unless the image has changed since its inspection."""
    rgb = image.picture.rgb
    if pixels_sha256(rgb) != wanted.pixels_sha256:
        reading.unfinished.append(Unfinished(image.ref.key, CHANGED))
        return False
    for placed in wanted.crops:
        crops[placed.row] = cut(rgb, placed.box)
        sizes[placed.row] = placed.box.height, placed.box.width
    return True

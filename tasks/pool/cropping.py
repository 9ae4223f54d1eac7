"""Writing crops: a worker reads images again, cuts their crops, and writes one Zarr shard of them, whole."""

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
from tasks.waves.pending import Shard
from tasks.waves.reading import Decoded, Reading
from tasks.waves.shard_results import ShardResult, Unfinished

CHANGED = "its pixels changed while it was ingested"


@dataclass(frozen=True, slots=True)
class PlacedCrop:
    """A crop, and its row in its shard."""

    row: int
    box: Box


@dataclass(frozen=True, slots=True)
class ImageCrops:
    """The crops of one image that lie in one shard."""

    pixels_sha256: str
    crops: tuple[PlacedCrop, ...]


@dataclass(frozen=True, slots=True)
class CropShard(Shard):
    """A Zarr shard: `index` is its number, `refs` are the images whose crops it holds, in the order of `images`."""

    images: tuple[ImageCrops, ...]


@dataclass(frozen=True, slots=True)
class CropJob:
    """Writing crops of one source into one Zarr group; see `tasks.waves.dispatch.Job`."""

    medium: MediumSpec
    workspace: str
    group: str
    run_id: str

    def do(self, shard: Shard) -> ShardResult[ImageRef]:
        """Write a shard; return the images whose crops are in it. Without all of them it is written as well."""
        assert isinstance(shard, CropShard)
        try:
            reading = Reading(open_medium(self.medium))
            crops = np.zeros((SHARD_CROPS, CROP_SIDE, CROP_SIDE, 3), np.uint8)
            sizes = np.zeros((SHARD_CROPS, 2), np.uint16)
            images = dict(zip(shard.refs, shard.images, strict=True))
            cut_out = [
                image.ref
                for image in reading.decoded(shard.refs)
                if _cut_out(image, images[image.ref], reading, crops, sizes)
            ]
            if cut_out:
                write_shard(self.workspace, self.group, shard.index, crops, sizes)
        except STORAGE_ERRORS as error:
            return ShardResult((), tuple(Unfinished(ref.key, str(error)) for ref in shard.refs), 0.0)
        failpoint("after-shard", str(shard.index))
        changed = (Unfinished(ref.key, reason) for ref, reason in reading.rejected)
        return ShardResult(tuple(cut_out), (*reading.unfinished, *changed), reading.image_seconds)

    def try_without_image(self) -> bool:
        """Nothing of it can be done without an image."""
        return True

    def killed_by(self, ref: ImageRef) -> ImageRef:
        """Never asked: these images were read before."""
        raise NotImplementedError(ref.key)


def _cut_out(
    image: Decoded, wanted: ImageCrops, reading: Reading, crops: np.ndarray, sizes: np.ndarray
) -> bool:
    """Put the crops of an image in their rows, unless it is another one now."""
    rgb = image.picture.rgb
    if pixels_sha256(rgb) != wanted.pixels_sha256:
        reading.unfinished.append(Unfinished(image.ref.key, CHANGED))
        return False
    for placed in wanted.crops:
        crops[placed.row] = cut(rgb, placed.box)
        sizes[placed.row] = placed.box.height, placed.box.width
    return True

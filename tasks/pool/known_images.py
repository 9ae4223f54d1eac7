"""The state of the pool before a run (`read_known`): inspected images, hashes of accepted ones, group sizes.

It holds 16 bytes per inspected image and 48 more per accepted one; it does not hold keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.catalog.pool import Pool, Split
from infra.catalog.pool_zarr import SHARD_CROPS
from infra.errors import ARCHIVED
from infra.records import ImageRef
from tasks.media.key_hashes import Hashes, find

ID_BYTES = 16
_COLUMNS = (
    "image_id", "crop_id", "status", "reason", "pixels_sha256", "perceptual_hash", "source_group", "split",
    "zarr_group", "zarr_row",
)  # fmt: skip


def image_id(source: str, ref: ImageRef) -> str:
    """Digest the identity of an image, 32 hex digits."""
    text = "\0".join((source, ref.key, ref.etag))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()


@dataclass(frozen=True, slots=True)
class DuplicateMatch:
    """An accepted image that another image duplicates."""

    image_id: str
    is_exact: bool
    """Whether every pixel is the same."""


@dataclass(slots=True)
class DuplicateIndex:
    """The perceptual hashes of accepted images; an image close to any of them counts as a duplicate.

    The search is linear, over 8 bytes per image: about a millisecond for a million images.
    """

    near_bits: int
    _ids: list[bytes] = field(default_factory=list)
    _pixels: list[bytes] = field(default_factory=list)
    _hashes: npt.NDArray[np.uint64] = field(default_factory=lambda: np.empty(64, np.uint64))

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, image: str, pixels_sha256: str, perceptual_hash: str) -> None:
        """Add an accepted image."""
        if len(self) == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        self._hashes[len(self)] = int(perceptual_hash, 16)
        self._ids.append(bytes.fromhex(image))
        self._pixels.append(bytes.fromhex(pixels_sha256)[:ID_BYTES])

    def remove(self, images: Collection[str]) -> None:
        """Remove images whose crops could not be written."""
        gone = {bytes.fromhex(image) for image in images}
        kept = [at for at, known in enumerate(self._ids) if known not in gone]
        self._hashes[: len(kept)] = self._hashes[kept]
        self._ids, self._pixels = [self._ids[at] for at in kept], [self._pixels[at] for at in kept]

    def match(self, pixels_sha256: str, perceptual_hash: str) -> DuplicateMatch | None:
        """Return the closest accepted image if it is close enough; the first one if several are equally close."""
        if not self._ids:
            return None
        differing = np.bitwise_count(self._hashes[: len(self)] ^ np.uint64(int(perceptual_hash, 16)))
        nearest = int(differing.argmin())
        if differing[nearest] > self.near_bits:
            return None
        digest = bytes.fromhex(pixels_sha256)[:ID_BYTES]
        same = next((int(at) for at in np.flatnonzero(differing == 0) if self._pixels[at] == digest), None)
        return DuplicateMatch(self._ids[nearest if same is None else same].hex(), same is not None)


@dataclass(slots=True)
class KnownImages:
    """The state of the pool at the start of a run."""

    inspected_ids: Hashes
    """Sorted ids of the images that need no further inspection."""
    duplicates: DuplicateIndex
    images_of: Counter[str]
    """Number of accepted images per source group."""
    split_of: dict[str, Split]
    """Split of each source group that has accepted images."""
    shards: set[tuple[str, int]]
    """Zarr group and index of each shard with a committed row."""
    has_archived: bool = False
    """Whether some rows have the reason `archived`; they are replaced once their images are restored."""

    def are_inspected(self, ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return, per id, whether the image needs no further inspection."""
        return find(self.inspected_ids, _packed(ids))[1]

    def next_shard(self, group: str) -> int:
        """Return the index of the first shard of a group without committed rows."""
        return 1 + max((number for name, number in self.shards if name == group), default=-1)


def read_known(pool: Pool, near_bits: int, *, rejected_too: bool) -> KnownImages:
    """Read the state of the pool.

    Parameters
    ----------
    pool : Pool
        The pool of the workspace.
    near_bits : int
        See `IngestLimits.near_duplicate_bits`.
    rejected_too : bool
        Whether rejected images count as inspected; archived images never do.
    """
    known = KnownImages(np.empty(0, f"S{ID_BYTES}"), DuplicateIndex(near_bits), Counter(), {}, set())
    ids: list[Hashes] = []
    first_crops: list[pl.DataFrame] = []
    for batch in pool.scan(_COLUMNS):
        rows = pl.DataFrame(batch)
        accepted = rows.filter(pl.col("status") == "accepted")
        known.has_archived |= bool((rows["reason"] == ARCHIVED).any())
        inspected_ids = rows.filter(pl.col("reason").ne_missing(ARCHIVED)) if rejected_too else accepted
        ids.append(_packed(inspected_ids["image_id"].unique().to_list()))
        known.shards.update(zip(accepted["zarr_group"], accepted["zarr_row"] // SHARD_CROPS, strict=True))
        first_crops.append(accepted.filter(pl.col("crop_id").str.ends_with("-0")))
    _admit(known, first_crops)
    if ids:
        known.inspected_ids = np.unique(np.concatenate(ids))
    return known


def _admit(known: KnownImages, first_crops: Iterable[pl.DataFrame]) -> None:
    """Count accepted images by group, and add them to the index in a reproducible order."""
    frames = list(first_crops)
    if not frames:
        return
    for row in pl.concat(frames).sort("zarr_group", "zarr_row").iter_rows(named=True):
        known.duplicates.add(row["image_id"], row["pixels_sha256"], row["perceptual_hash"])
        known.images_of[row["source_group"]] += 1
        known.split_of[row["source_group"]] = row["split"]


def _packed(ids: Sequence[str]) -> Hashes:
    return np.frombuffer(bytes.fromhex("".join(ids)), f"S{ID_BYTES}")

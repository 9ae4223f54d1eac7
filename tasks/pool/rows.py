"""Rows of the pool from inspected images: acceptance (`judge`), crop placement (`place`), records (`pool_rows`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from infra.catalog.pool import Split
from infra.catalog.pool_zarr import SHARD_CROPS
from infra.records import PoolRecord
from tasks.pool.cropping import ImageCrops, PlacedCrop
from tasks.pool.inspection import InspectedImage
from tasks.pool.known_images import DuplicateIndex, DuplicateMatch, image_id
from tasks.pool.splits import source_group
from tasks.waves.stage import Shard


@dataclass(frozen=True, slots=True)
class Candidate:
    """An inspected image, its id, and the accepted image that it duplicates, if any."""

    image_id: str
    looked: InspectedImage
    twin: DuplicateMatch | None

    @property
    def is_accepted(self) -> bool:
        """Return whether its crops are added to the pool."""
        return self.looked.reason is None and self.twin is None


@dataclass(frozen=True, slots=True)
class Origin:
    """Values that all rows of one source in one run share."""

    source: str
    run_id: str
    group_pattern: str
    zarr_group: str


def judge(source: str, looked: Sequence[InspectedImage], gallery: DuplicateIndex) -> list[Candidate]:
    """Accept images in order, except duplicates of images that were accepted before.

    Near duplicates are dropped across source groups, so that none is in both splits; the first image is kept.
    Accepted images are added to `gallery`.
    """
    return [_candidate(image_id(source, image.ref), image, gallery) for image in looked]


def place(candidates: Sequence[Candidate], first_shard: int) -> Iterator[Shard[ImageCrops]]:
    """Assign the crops of accepted images to consecutive rows of Zarr shards, in order."""
    cuts: list[ImageCrops] = []
    filled, number = 0, first_shard
    for candidate in candidates:
        left = [crop.box for crop in candidate.looked.crops] if candidate.is_accepted else []
        while left:
            now, left = left[: SHARD_CROPS - filled], left[SHARD_CROPS - filled :]
            placed = tuple(PlacedCrop(filled + at, box) for at, box in enumerate(now))
            cuts.append(ImageCrops(candidate.looked.ref, candidate.looked.pixels_sha256 or "", placed))
            filled += len(now)
            if filled == SHARD_CROPS:
                yield Shard(number, tuple(cuts), False)
                cuts, filled, number = [], 0, number + 1
    if cuts:
        yield Shard(number, tuple(cuts), False)


def pool_rows(
    candidates: Sequence[Candidate], origin: Origin, splits: Mapping[str, Split], first_shard: int
) -> Iterator[PoolRecord]:
    """Make the rows of images, with crops at the places that `place` assigns, whether written or not."""
    now, row = datetime.now(UTC), first_shard * SHARD_CROPS
    for candidate in candidates:
        group = source_group(origin.group_pattern, origin.source, candidate.looked.ref.key)
        if not candidate.is_accepted:
            yield _rejected(candidate, origin, group, now)
            continue
        for number, crop in enumerate(candidate.looked.crops):
            yield PoolRecord(
                crop_id=f"{candidate.image_id}-{number}",
                status="accepted",
                reason=None,
                duplicate_of=None,
                split=splits[group],
                **asdict(crop.box),
                **asdict(crop.look),
                zarr_group=origin.zarr_group,
                zarr_row=row,
                **_of_image(candidate, origin, group, now),  # type: ignore[arg-type]
            )
            row += 1


def _candidate(identity: str, image: InspectedImage, gallery: DuplicateIndex) -> Candidate:
    if image.reason is not None or image.pixels_sha256 is None or image.perceptual_hash is None:
        return Candidate(identity, image, None)
    twin = gallery.twin(image.pixels_sha256, image.perceptual_hash)
    if twin is None:
        gallery.add(identity, image.pixels_sha256, image.perceptual_hash)
    return Candidate(identity, image, twin)


def _rejected(candidate: Candidate, origin: Origin, group: str, now: datetime) -> PoolRecord:
    looked, twin = candidate.looked, candidate.twin
    look = dict.fromkeys(("brightness", "contrast", "sharpness", "streak_energy"))
    return PoolRecord(
        crop_id=f"{candidate.image_id}-0",
        status="rejected",
        reason=looked.reason if twin is None else "duplicate" if twin.is_exact else "near duplicate",
        duplicate_of=None if twin is None else twin.image_id,
        split=None,
        top=None,
        left=None,
        height=None,
        width=None,
        zarr_group=None,
        zarr_row=None,
        **(look if looked.look is None else asdict(looked.look)),
        **_of_image(candidate, origin, group, now),  # type: ignore[arg-type]
    )


def _of_image(candidate: Candidate, origin: Origin, group: str, now: datetime) -> dict[str, object]:
    """Return the fields that all rows of an image share."""
    looked = candidate.looked
    return {
        "image_id": candidate.image_id,
        "source": origin.source,
        "key": looked.ref.key,
        "etag": looked.ref.etag,
        "size_bytes": looked.ref.size_bytes,
        "source_group": group,
        "image_height": looked.height,
        "image_width": looked.width,
        "pixels_sha256": looked.pixels_sha256,
        "perceptual_hash": looked.perceptual_hash,
        "run_id": origin.run_id,
        "ingested_at": now,
    }

"""Rows of the pool: acceptance of images (`deduplicate`), crop placement (`place`), records (`pool_rows`)."""

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
    inspected: InspectedImage
    match: DuplicateMatch | None

    @property
    def is_accepted(self) -> bool:
        """Return whether its crops are added to the pool."""
        return self.inspected.reason is None and self.match is None


@dataclass(frozen=True, slots=True)
class Origin:
    """Values that all rows of one source in one run share."""

    source: str
    run_id: str
    group_pattern: str
    zarr_group: str


def deduplicate(
    source: str, inspected: Sequence[InspectedImage], duplicates: DuplicateIndex
) -> list[Candidate]:
    """Accept images in order, except duplicates of images that were accepted before.

    Near duplicates are dropped across source groups, so that none is in both splits; the first image is kept.
    Accepted images are added to `duplicates`.
    """
    return [_candidate(image_id(source, image.ref), image, duplicates) for image in inspected]


def place(candidates: Sequence[Candidate], first_shard: int) -> Iterator[Shard[ImageCrops]]:
    """Assign the crops of accepted images to consecutive rows of Zarr shards, in order."""
    cuts: list[ImageCrops] = []
    filled, number = 0, first_shard
    for candidate in candidates:
        left = [crop.box for crop in candidate.inspected.crops] if candidate.is_accepted else []
        while left:
            now, left = left[: SHARD_CROPS - filled], left[SHARD_CROPS - filled :]
            placed = tuple(PlacedCrop(filled + at, box) for at, box in enumerate(now))
            cuts.append(ImageCrops(candidate.inspected.ref, candidate.inspected.pixels_sha256 or "", placed))
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
        group = source_group(origin.group_pattern, origin.source, candidate.inspected.ref.key)
        if not candidate.is_accepted:
            yield _rejected(candidate, origin, group, now)
            continue
        for number, crop in enumerate(candidate.inspected.crops):
            yield PoolRecord(
                crop_id=f"{candidate.image_id}-{number}",
                status="accepted",
                reason=None,
                duplicate_of=None,
                split=splits[group],
                **asdict(crop.box),
                **asdict(crop.quality),
                zarr_group=origin.zarr_group,
                zarr_row=row,
                **_of_image(candidate, origin, group, now),  # type: ignore[arg-type]
            )
            row += 1


def _candidate(identity: str, image: InspectedImage, duplicates: DuplicateIndex) -> Candidate:
    if image.reason is not None or image.pixels_sha256 is None or image.perceptual_hash is None:
        return Candidate(identity, image, None)
    match = duplicates.match(image.pixels_sha256, image.perceptual_hash)
    if match is None:
        duplicates.add(identity, image.pixels_sha256, image.perceptual_hash)
    return Candidate(identity, image, match)


def _rejected(candidate: Candidate, origin: Origin, group: str, now: datetime) -> PoolRecord:
    inspected, match = candidate.inspected, candidate.match
    quality = dict.fromkeys(("brightness", "contrast", "sharpness", "streak_energy"))
    return PoolRecord(
        crop_id=f"{candidate.image_id}-0",
        status="rejected",
        reason=inspected.reason if match is None else "duplicate" if match.is_exact else "near duplicate",
        duplicate_of=None if match is None else match.image_id,
        split=None,
        top=None,
        left=None,
        height=None,
        width=None,
        zarr_group=None,
        zarr_row=None,
        **(quality if inspected.quality is None else asdict(inspected.quality)),
        **_of_image(candidate, origin, group, now),  # type: ignore[arg-type]
    )


def _of_image(candidate: Candidate, origin: Origin, group: str, now: datetime) -> dict[str, object]:
    """Return the fields that all rows of an image share."""
    inspected = candidate.inspected
    return {
        "image_id": candidate.image_id,
        "source": origin.source,
        "key": inspected.ref.key,
        "etag": inspected.ref.etag,
        "size_bytes": inspected.ref.size_bytes,
        "source_group": group,
        "image_height": inspected.height,
        "image_width": inspected.width,
        "pixels_sha256": inspected.pixels_sha256,
        "perceptual_hash": inspected.perceptual_hash,
        "run_id": origin.run_id,
        "ingested_at": now,
    }

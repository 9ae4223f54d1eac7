"""The plan of an ingest (`plan_ingest`): all listed images except those that the pool knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from infra.catalog.pool import Split
from infra.limits import IngestLimits
from infra.records import ImageRef
from infra.storage.listing import LeftOut
from tasks.media.key_hashes import CHUNK, chunks
from tasks.pool.known_images import KnownImages, image_id
from tasks.pool.sources import IngestSource
from tasks.pool.splits import assign_splits, source_group
from tasks.waves.pending import Pending, estimated_pixels


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """The pending images of one source, in a temporary file."""

    source: str
    frames: bool
    pending: Pending
    pixels: int
    """Estimated pixels of all pending images."""


@dataclass(frozen=True, slots=True)
class IngestPlan:
    """The pending images, and the split of each source group."""

    sources: tuple[SourcePlan, ...]
    splits: dict[str, Split]
    listed: int
    """Number of objects that match the selection."""
    left_out: LeftOut
    """Counts of objects that do not match it, and of folders that were not entered."""
    pending: int
    """Number of listed images to be inspected."""

    def close(self) -> None:
        """Free the disk space."""
        for source in self.sources:
            source.pending.close()


def plan_ingest(sources: Sequence[IngestSource], known: KnownImages, limits: IngestLimits) -> IngestPlan:
    """List the sources and collect pending images; every listed image counts towards the size of its group."""
    counts: Counter[str] = Counter()
    left_out = LeftOut()
    images_of: Counter[str] = Counter()
    plans = []
    for each in sources:
        refs = each.source.refs(each.selection.rules(left_out))
        listing = each.selection.select(refs, left_out, each.source.base)
        counted = _counted(listing, each, limits, images_of)
        plans.append(_plan_source(each, counted, known, counts))
    unlisted = {group: number for group, number in known.images_of.items() if group not in images_of}
    splits = assign_splits(images_of | Counter(unlisted), known.split_of, limits.validation_share)
    return IngestPlan(tuple(plans), splits, images_of.total(), left_out, counts["pending"])


def _counted(
    refs: Iterable[ImageRef], each: IngestSource, limits: IngestLimits, images_of: Counter[str]
) -> Iterator[ImageRef]:
    for ref in refs:
        images_of[source_group(limits.group_pattern, each.source.base, ref.key)] += 1
        yield ref


def _plan_source(
    each: IngestSource, listed: Iterable[ImageRef], known: KnownImages, counts: Counter[str]
) -> SourcePlan:
    """Store the images that the pool does not know in the plan's file."""
    base, pending, pixels = each.source.base, Pending(), 0
    try:
        for refs in chunks(listed, CHUNK):
            inspected_ids = known.are_inspected([image_id(base, ref) for ref in refs])
            fresh = [ref for ref, is_known in zip(refs, inspected_ids, strict=True) if not is_known]
            pending.append(fresh, [False] * len(fresh))
            pixels += sum(map(estimated_pixels, fresh))
            counts["pending"] += len(fresh)
    except BaseException:
        pending.close()
        raise
    return SourcePlan(base, each.source.frames, pending, pixels)

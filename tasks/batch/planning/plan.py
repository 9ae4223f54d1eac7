"""Planning (`plan`): the listing of a source minus the images that are done, divided into shards.

The listing is read as a stream. Only hashes of the catalog and of the destination are held in memory (84 bytes per
row and 24 per object); pending images go to a temporary file. A catalog of more than `PART_ROWS` rows is planned in
parts (`tasks.batch.planning.parts`), so memory does not grow with it. Planning only reads, and the same listing and
catalog give the same shards in the same order.

The preflight refuses a destination inside its source, so planning does not check for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import polars as pl

from infra.catalog.delta.conditions import all_of
from infra.catalog.derained import Catalog, in_scope
from infra.records import DERAINED, ImageRef
from infra.storage.listing import LeftOut
from tasks.batch.planning import ownership
from tasks.batch.planning.classification import Classifier
from tasks.batch.planning.collisions import Collision
from tasks.batch.planning.done_index import COLUMNS, RowNames, build_index
from tasks.batch.planning.made_by import MadeBy
from tasks.batch.planning.output_listing import read_listing
from tasks.batch.planning.ownership import Owners, find_owners, written_below
from tasks.batch.planning.parts import Part, divide, part_count
from tasks.batch.planning.ref_frames import output_frames, to_frame
from tasks.batch.planning.request import PlanRequest, Redo
from tasks.batch.planning.rivals import Contest
from tasks.media.key_hashes import CHUNK, chunks
from tasks.waves.pending import Pending, ShardLimits, cut
from tasks.waves.stage import Shard

__all__ = ["Plan", "PlanCounts", "PlanRequest", "Redo", "plan"]


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """Counts of the objects of a source: each is done, rejected, pending or left out."""

    listed: int = 0
    """Objects that match the selection."""
    done: int = 0
    """Derained with an existing output, or rejected."""
    pending: int = 0
    """Images to derain: `listed` minus `done` and `colliding`."""
    stale: int = 0
    """Derained by a model other than the current one, whether pending again or not."""
    rejected: int = 0
    """Rejected earlier, whether pending again or not."""
    gone: int = 0
    """Derained earlier, but the output no longer exists; pending."""
    replaced: int = 0
    """Derained earlier, but the output was truncated or replaced; pending."""
    overwritten: int = 0
    """Derained earlier, but the output belongs to a newer row; pending."""
    colliding: int = 0
    """Images whose output name the destination folds to that of another image; not pending."""
    pending_bytes: int = 0
    pending_pixels: int = 0
    """Estimated from sizes in bytes, without opening any image."""
    rejected_for: Mapping[str, int] = field(default_factory=dict)
    """The rejected images among `done`, by reason; they stay rejected."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Objects that do not match the selection, and folders that were not entered."""
    made_by: tuple[MadeBy, ...] = ()
    """Models that made the outputs of images that are done."""

    @property
    def skipped(self) -> int:
        """Number of objects left out."""
        return self.left_out.total

    @property
    def derained(self) -> int:
        """Number of images derained earlier whose output exists."""
        return self.done - sum(self.rejected_for.values())

    @property
    def objects(self) -> int:
        """Number of all objects of the source."""
        return self.listed + self.skipped


class Plan:
    """The pending images of a run. A plan holds a temporary file: use it in a `with` block."""

    def __init__(
        self,
        counts: PlanCounts,
        pending: Pending,
        contest: Contest | None = None,
        collisions: tuple[Collision, ...] = (),
        catalog_version: int | None = None,
        rejects: Sequence[ImageRef] = (),
    ) -> None:
        self.counts = counts
        self.contest = contest or Contest()
        """Images whose outputs belong to other images; see `tasks.batch.planning.rivals.refuse_contested`."""
        self.collisions = collisions
        """Images to be rejected, because the destination folds their output names to those of others."""
        self.catalog_version = catalog_version
        """Version of the catalog just before it was read; None if there was no catalog."""
        self.rejects = tuple(rejects)
        """The first images by key that stay rejected; see `PlanRequest.named_rejects`."""
        self._pending = pending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the disk space."""
        self._pending.close()

    def refs(self) -> Iterator[ImageRef]:
        """Yield the pending images in the order of the listing, part by part if the plan has several."""
        return (ref for ref, _ in self._pending.refs())

    def shards(self, limits: ShardLimits) -> Iterator[Shard[ImageRef]]:
        """Yield the shards; further calls yield the same ones."""
        return cut(self._pending.refs(), self.counts.pending_pixels, limits)


def plan(
    request: PlanRequest,
    catalog: Catalog,
    listing: Iterable[ImageRef],
    outputs: Iterable[ImageRef],
    left_out: LeftOut | None = None,
) -> Plan:
    """Classify all images of a listing and return the pending ones.

    An image is done if the latest row of its key has the listed etag and says either rejected, or derained with an
    output that still exists, has the size (on S3 the etag) that was written, and belongs to no newer row.
    `redo="rejected"` also makes rejected images pending, and `redo="stale"` those that another model derained.
    Images that were rejected as archived are pending again unless the listing still marks them as archived.

    Parameters
    ----------
    request : PlanRequest
        Scope, selection and the images to redo.
    catalog : Catalog
        The catalog of the workspace.
    listing : Iterable[ImageRef]
        The objects of the source; iterated once, as a stream.
    outputs : Iterable[ImageRef]
        The objects of the destination; iterated only if the catalog has rows of the destination.
    left_out : LeftOut, optional
        Counts the objects that the listing leaves out; those that the selection leaves out are added.
    """
    left_out = left_out if left_out is not None else LeftOut()
    version = catalog.version()
    count = part_count(catalog.approximate_rows())
    selected = request.selection.select(listing, left_out, request.scope.source)
    whole = _streams(request, catalog, selected, outputs)
    pending, names = Pending(), RowNames()
    found = Classifier(request, names, pending)
    try:
        with closing(divide(whole, request, count)) as parts:
            for part in parts:
                owners = _owners(request, part)
                index = build_index(part.rows, owners, request.folding, names)
                found.add_part(index, owners, part.listing)
        found.finish(catalog)
    except BaseException:
        pending.close()
        raise
    counts = PlanCounts(
        **found.counts, rejected_for=found.rejected_for, left_out=left_out, made_by=found.made_by
    )
    return Plan(counts, pending, found.contest, found.collisions, version, found.rejects)


def _streams(
    request: PlanRequest, catalog: Catalog, selected: Iterable[ImageRef], outputs: Iterable[ImageRef]
) -> Part:
    where = all_of(DERAINED, written_below(request.scope.destination))
    has_rows = next(catalog.scan(["status"], where), None) is not None
    return Part(
        listing=map(to_frame, chunks(selected, CHUNK)),
        outputs=output_frames(outputs if has_rows else ()),
        written=map(pl.DataFrame, catalog.scan(ownership.COLUMNS, where)),
        rows=map(pl.DataFrame, catalog.scan(COLUMNS, in_scope(request.scope))),
    )


def _owners(request: PlanRequest, part: Part) -> Owners:
    listing = read_listing(request.scope.destination, part.outputs, request.folding)
    return find_owners(part.written, listing, request.folding)

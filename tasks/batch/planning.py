"""What is to do: the listing of a source less what the catalog says is done, cut in shards.

The listing is read as a stream. Of the catalog and of the destination only hashes are held (84 bytes a row and 24
an object), and what is pending goes to a temporary file. A plan only reads; the same listing and catalog give the
same shards in the same order.

A destination inside its source is not looked for here: the preflight refuses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from infra.catalog.delta_table import all_of
from infra.catalog.derained import Catalog
from infra.records import DERAINED, ImageRef
from infra.storage.listing import LeftOut
from tasks.batch import ownership
from tasks.batch.classification import Classifier
from tasks.batch.collisions import Collision
from tasks.batch.done_index import COLUMNS, build_index
from tasks.batch.made_by import MadeBy
from tasks.batch.output_listing import read_listing
from tasks.batch.ownership import Owners, find_owners, written_below
from tasks.batch.plan_request import PlanRequest, Redo
from tasks.batch.rivals import Contest
from tasks.media.key_hashes import CHUNK, chunks
from tasks.waves.pending import Pending, ShardLimits, cut
from tasks.waves.stage import Shard

__all__ = ["Plan", "PlanCounts", "PlanRequest", "Redo", "plan"]


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """How the objects of a source stand: each is done, rejected, pending or left out."""

    listed: int = 0
    """Objects that the selection took."""
    done: int = 0
    """Derained with an output that exists, or rejected: nothing to do."""
    pending: int = 0
    """To do: `listed` less `done` and `colliding`."""
    stale: int = 0
    """Derained by another model than the current one, be they to do again or not."""
    rejected: int = 0
    """Rejected earlier, be they to do again or not."""
    gone: int = 0
    """Derained earlier, but the output is not there any more; pending."""
    replaced: int = 0
    """Derained earlier, but the output is not as it was written: truncated or replaced; pending."""
    overwritten: int = 0
    """Derained earlier, but another row has written the output since; pending."""
    colliding: int = 0
    """Would have the output of another image, where the destination takes two names for one; not pending."""
    pending_bytes: int = 0
    pending_pixels: int = 0
    """An estimate from sizes in bytes: no image was opened."""
    rejected_for: Mapping[str, int] = field(default_factory=dict)
    """Of `done` the rejected ones by reason; they stay rejected."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Objects that the selection did not take, and folders that were not entered."""
    made_by: tuple[MadeBy, ...] = ()
    """Which models made the outputs of the images that are done."""

    @property
    def skipped(self) -> int:
        """Objects that were left out."""
        return self.left_out.total

    @property
    def derained(self) -> int:
        """Derained earlier, with an output that exists."""
        return self.done - sum(self.rejected_for.values())

    @property
    def objects(self) -> int:
        """All objects of the source."""
        return self.listed + self.skipped


class Plan:
    """What is to do. Holds a temporary file: use it in a `with` block."""

    def __init__(
        self,
        counts: PlanCounts,
        pending: Pending,
        contest: Contest | None = None,
        collisions: tuple[Collision, ...] = (),
    ) -> None:
        self.counts = counts
        self.contest = contest or Contest()
        """Images whose outputs belong to other images: see `tasks.batch.rivals.refuse_contested`."""
        self.collisions = collisions
        """Images that are to be rejected, because the destination takes their names for other ones."""
        self._pending = pending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk space back."""
        self._pending.close()

    def refs(self) -> Iterator[ImageRef]:
        """Stream the pending images in the order they were listed."""
        return (ref for ref, _ in self._pending.refs())

    def shards(self, limits: ShardLimits) -> Iterator[Shard[ImageRef]]:
        """Stream the shards; may be called again, for the same ones."""
        return cut(self._pending.refs(), self.counts.pending_pixels, limits)


def plan(
    request: PlanRequest,
    catalog: Catalog,
    listing: Iterable[ImageRef],
    outputs: Iterable[ImageRef],
    left_out: LeftOut | None = None,
) -> Plan:
    """Find out what is to do.

    Done is an image whose key has, as its latest row, one of the listed etag that says rejected, or derained with
    an output that is still there, of the size (on S3 of the etag) that was written, and was not written by another
    row since. `redo="rejected"` does the rejected again, `redo="stale"` what another model made.
    What was rejected as archived is tried again, unless the listing says that it still is.

    Parameters
    ----------
    request : PlanRequest
        Scope, selection and what to redo.
    catalog : Catalog
        The catalog of the workspace.
    listing : Iterable[ImageRef]
        The objects of the source; read once, as a stream.
    outputs : Iterable[ImageRef]
        The objects of the destination; listed only if the catalog has rows of the destination.
    left_out : LeftOut, optional
        Counts what the listing leaves out; what the selection leaves out is added.
    """
    left_out = left_out if left_out is not None else LeftOut()
    owners = _owners(request, catalog, outputs)
    index = build_index(catalog.scan(request.scope, COLUMNS), owners, request.folding)
    pending = Pending()
    found = Classifier(request, index, owners, pending)
    try:
        for refs in chunks(request.selection.select(listing, left_out, request.scope.source), CHUNK):
            found.add(refs)
        found.finish(catalog)
    except BaseException:
        pending.close()
        raise
    counts = PlanCounts(
        **found.counts, rejected_for=found.rejected_for, left_out=left_out, made_by=found.made_by
    )
    return Plan(counts, pending, found.contest, found.collisions)


def _owners(request: PlanRequest, catalog: Catalog, outputs: Iterable[ImageRef]) -> Owners:
    destination, folding = request.scope.destination, request.folding
    where = all_of(DERAINED, written_below(destination))
    has_rows = next(catalog.scan(None, ["status"], where), None) is not None
    listing = read_listing(destination, outputs if has_rows else (), folding)
    return find_owners(catalog.scan(None, ownership.COLUMNS, where), listing, folding)

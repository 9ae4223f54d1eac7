"""What is to do: the listing of a source less what the catalog says is done, cut in shards.

The listing is read as a stream. Of the catalog and of the destination only hashes of keys are held (35 and 16
bytes a row), and what is pending goes to a temporary file. A plan only reads; the same listing and catalog
give the same shards in the same order.

A destination inside its source is not looked for here: the preflight refuses it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Self

import numpy as np
import polars as pl

from infra.catalog.derained import Catalog
from infra.records import ImageRef, Scope
from infra.storage.listing import LeftOut
from infra.storage.location import ObjectNotFound
from tasks.batch.done_index import COLUMNS, DoneIndex, Mask, Verdict, build_index
from tasks.media.key_hashes import CHUNK, Hashes, chunks, sorted_hashes
from tasks.media.sources import Selection
from tasks.waves.pending import Pending, Shard, ShardLimits, cut, estimated_pixels

Redo = Literal["none", "stale", "rejected"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What is asked for; `model_digest` is the digest of the model that would derain."""

    scope: Scope
    selection: Selection
    redo: Redo
    model_digest: str


@dataclass(frozen=True, slots=True)
class PlanCounts:
    """How the objects of a source stand: each is done, rejected, pending or left out."""

    listed: int = 0
    """Objects that the selection took."""
    done: int = 0
    """Derained with an output that exists, or rejected: nothing to do."""
    pending: int = 0
    """To do: `listed` less `done`."""
    stale: int = 0
    """Derained by another model than the current one, be they to do again or not."""
    rejected: int = 0
    """Rejected earlier, be they to do again or not."""
    gone: int = 0
    """Derained earlier, but the output is there no more; pending."""
    pending_bytes: int = 0
    pending_pixels: int = 0
    """An estimate from sizes in bytes: no image was opened."""
    rejected_for: Mapping[str, int] = field(default_factory=dict)
    """Of `done` the rejected ones by reason; they stay rejected."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """Objects that the selection did not take, and folders that were not entered."""

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

    def __init__(self, counts: PlanCounts, pending: Pending) -> None:
        self.counts = counts
        self._pending = pending

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pending.close()

    def refs(self) -> Iterator[ImageRef]:
        """Stream the pending images in the order they were listed."""
        return (ref for ref, _ in self._pending.refs())

    def shards(self, limits: ShardLimits) -> Iterator[Shard]:
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

    Done is what has, as the latest row of its key, one of the listed etag that says rejected, or derained
    with an output that is still there. `redo="rejected"` does the rejected again, `redo="stale"` what another
    model made.

    Parameters
    ----------
    request : PlanRequest
        Scope, selection and what to redo.
    catalog : Catalog
        The catalog of the workspace.
    listing : Iterable[ImageRef]
        The objects of the source; read once, as a stream.
    outputs : Iterable[ImageRef]
        The objects of the destination; listed only if the catalog has rows of the scope.
    left_out : LeftOut, optional
        Counts what the listing leaves out; what the selection leaves out is added.
    """
    left_out = left_out if left_out is not None else LeftOut()
    index = _index(request, catalog, outputs)
    pending = Pending()
    counts: Counter[str] = Counter()
    rejected_for: Counter[str] = Counter()
    try:
        for refs in chunks(request.selection.select(listing, left_out, request.scope.source), CHUNK):
            verdict, to_do = _classify_chunk(refs, request.redo, index, pending, counts)
            rejected_for += index.count_reasons(verdict, ~to_do)
    except BaseException:
        pending.close()
        raise
    return Plan(PlanCounts(**counts, rejected_for=rejected_for, left_out=left_out), pending)


def _index(request: PlanRequest, catalog: Catalog, outputs: Iterable[ImageRef]) -> DoneIndex:
    has_rows = next(catalog.scan(request.scope, ["status"]), None) is not None
    keys = _output_keys(outputs) if has_rows else np.empty(0, "S16")
    return build_index(catalog.scan(request.scope, COLUMNS), keys, request.model_digest)


def _output_keys(outputs: Iterable[ImageRef]) -> Hashes:
    try:
        return sorted_hashes(ref.key for ref in outputs)
    except ObjectNotFound:  # a destination that is not there has no outputs
        return np.empty(0, "S16")


def _classify_chunk(
    refs: list[ImageRef], redo: Redo, index: DoneIndex, pending: Pending, counts: Counter[str]
) -> tuple[Verdict, Mask]:
    """Look up one chunk, count it, and put by what is to do; return what is known and which are to do."""
    frame = pl.DataFrame(
        {"key": [ref.key for ref in refs], "etag": [ref.etag for ref in refs]},
        schema={"key": pl.String, "etag": pl.String},
    )
    verdict = index.look_up(frame["key"], frame["etag"])
    to_do = ~_done(verdict, redo)
    again = to_do & verdict.known
    counts["listed"] += len(refs)
    for name, mask in (("pending", to_do), ("done", ~to_do)):
        counts[name] += _number(mask)
    for name in ("rejected", "gone", "stale"):
        counts[name] += _number(getattr(verdict, name))
    wanted = [ref for ref, is_wanted in zip(refs, to_do, strict=True) if is_wanted]
    counts["pending_bytes"] += sum(ref.size_bytes for ref in wanted)
    counts["pending_pixels"] += sum(map(estimated_pixels, wanted))
    pending.append(wanted, again[to_do].tolist())
    return verdict, to_do


def _done(verdict: Verdict, redo: Redo) -> Mask:
    stays_rejected = verdict.rejected & (redo != "rejected")
    stays_derained = verdict.derained & ~verdict.gone
    if redo == "stale":
        stays_derained &= ~verdict.stale
    return stays_rejected | stays_derained


def _number(mask: Mask) -> int:
    return int(np.count_nonzero(mask))

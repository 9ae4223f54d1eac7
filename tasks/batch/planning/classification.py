"""Classification of a listing (`Classifier`): every listed image is counted as done, pending or colliding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import TypeVar

import numpy as np
import polars as pl

from infra.catalog.derained import Catalog
from infra.errors import ARCHIVED
from infra.records import ImageRef
from tasks.batch.planning.collisions import COLLISION, Candidate, ClaimedNames, Collision, settle
from tasks.batch.planning.done_index import DoneIndex, RowNames, Verdict
from tasks.batch.planning.made_by import MadeBy
from tasks.batch.planning.ownership import Mask, Owners, image_hashes
from tasks.batch.planning.ref_frames import to_refs
from tasks.batch.planning.request import PlanRequest
from tasks.batch.planning.rivals import Contest
from tasks.media.key_hashes import CHUNK, ShortHashes, chunks
from tasks.waves.pending import Pending, estimated_pixels

T = TypeVar("T")
CONTESTED_EXAMPLES = 256
"""Largest number of contested images whose rivals are looked up; they are spread over the listing."""


class Classifier:
    """Divides a listing, part by part, into done, pending, contested and colliding images.

    Parameters
    ----------
    request : PlanRequest
        Scope, selection and the images to redo.
    names : RowNames
        The numbers of models and reasons in the indexes.
    pending : Pending
        Receives the pending images.
    """

    def __init__(self, request: PlanRequest, names: RowNames, pending: Pending) -> None:
        self.counts: Counter[str] = Counter()
        self.rejected_for: Counter[str] = Counter()
        self._contested = 0
        self._examples: list[tuple[ImageRef, str]] = []
        self.collisions: tuple[Collision, ...] = ()
        self.rejects: list[ImageRef] = []
        """The first images by key that stay rejected; see `PlanRequest.named_rejects`."""
        self._request = request
        self._models = names.models
        self._pending = pending
        self._made = np.zeros(0, np.int64)
        self._candidates: list[Candidate] = []

    @property
    def contest(self) -> Contest:
        """The number of images whose outputs belong to other images, and examples of them."""
        examples = _spread(self._examples, CONTESTED_EXAMPLES)
        return Contest(
            self._contested, tuple(ref for ref, _ in examples), tuple(output for _, output in examples)
        )

    @property
    def made_by(self) -> tuple[MadeBy, ...]:
        """Models that made the outputs of images that are done."""
        return self._models.count(self._made)

    def add_part(self, index: DoneIndex, owners: Owners, listing: Iterable[pl.DataFrame]) -> None:
        """Classify the images of one part of a plan and queue the pending ones.

        Parameters
        ----------
        index : DoneIndex
            The part's rows of the scope.
        owners : Owners
            The owners of the part's outputs in the destination.
        listing : Iterable[polars.DataFrame]
            The part's images, in the order of the source's listing.
        """
        claimed = ClaimedNames(self._request.folding)
        for images in listing:
            verdict = index.look_up(images["key"], images["etag"])
            stale = self._models.stale(verdict.numbers, self._request.model_digest) & verdict.derained
            to_do = ~self._done(verdict, stale) | _restored(images, verdict, index)
            collided = ~to_do & self._collided(verdict, index)
            to_do |= collided
            self._count(verdict, stale, to_do)
            self.rejected_for += index.count_reasons(verdict, ~to_do)
            self._name_rejects(images, verdict.rejected & ~to_do)
            self._keep(
                images.filter(pl.Series(to_do)), verdict.has_row[to_do], collided[to_do], owners, claimed
            )

    def finish(self, catalog: Catalog) -> None:
        """Decide which candidates collide, after the whole listing has been added."""
        if not self._candidates:
            return
        settled = settle(
            self._candidates, self._pending_images(), catalog, self._request.scope, self._request.folding
        )
        self.collisions = tuple(each for each in settled.collisions if not each.is_recorded)
        self.counts["colliding"] = len(self.collisions)
        recorded = len(settled.collisions) - len(self.collisions)
        self.counts["done"] += recorded
        self.rejected_for += Counter({COLLISION: recorded})
        for part in chunks(settled.free, CHUNK):
            self._append([image.ref for image in part], [image.has_row for image in part])

    def _done(self, verdict: Verdict, stale: Mask) -> Mask:
        stays_rejected = verdict.rejected & (self._request.redo != "rejected")
        stays_derained = verdict.derained & ~(verdict.gone | verdict.replaced | verdict.overwritten)
        if self._request.redo == "stale":
            stays_derained &= ~stale
        return stays_rejected | stays_derained

    def _collided(self, verdict: Verdict, index: DoneIndex) -> Mask:
        """Return which images collided in an earlier run; their rivals may have been renamed or removed since."""
        if not self._request.folding:  # also a caller that only reads, and does not know how names are folded
            return np.zeros(len(verdict.rejected), np.bool_)
        return index.is_rejected_for(verdict, COLLISION)

    def _name_rejects(self, images: pl.DataFrame, rejected: Mask) -> None:
        if self._request.named_rejects:
            named = [*self.rejects, *to_refs(images.filter(pl.Series(rejected)))]
            self.rejects = nsmallest(self._request.named_rejects, named, key=lambda ref: ref.key)

    def _count(self, verdict: Verdict, stale: Mask, to_do: Mask) -> None:
        masks = {
            "done": ~to_do,
            "stale": stale,
            "rejected": verdict.rejected,
            "gone": verdict.gone,
            "replaced": verdict.replaced,
            "overwritten": verdict.overwritten,
        }
        self.counts["listed"] += len(to_do)
        for name, mask in masks.items():
            self.counts[name] += int(np.count_nonzero(mask))
        made = np.bincount(verdict.numbers[verdict.derained & ~to_do], minlength=len(self._made)).astype(
            np.int64
        )
        made[: len(self._made)] += self._made
        self._made = made

    def _keep(
        self, images: pl.DataFrame, has_row: Mask, collided: Mask, owners: Owners, claimed: ClaimedNames
    ) -> None:
        """Queue the images to do of a chunk, except colliding ones."""
        if images.is_empty():
            return
        refs, outputs = to_refs(images), self._request.output_urls(images["key"])
        contested, same_name = owners.contested(outputs, self._hashes(images["key"]), self._request.folding)
        self._contest(refs, outputs, same_name)
        if self._request.folding:
            colliding = contested & ~same_name
            colliding |= claimed.claim(outputs, ~colliding)
            self._candidates += [
                Candidate(refs[at], outputs[at], bool(has_row[at]), bool(collided[at]))
                for at in np.flatnonzero(colliding).tolist()
            ]
            refs = [ref for ref, collides in zip(refs, colliding, strict=True) if not collides]
            has_row = has_row[~colliding]
        self._append(refs, has_row.tolist())

    def _hashes(self, keys: pl.Series) -> ShortHashes:
        sources = pl.Series([self._request.scope.source]).new_from_index(0, len(keys))
        return image_hashes(sources, keys)

    def _contest(self, refs: Sequence[ImageRef], outputs: pl.Series, contested: Mask) -> None:
        positions = np.flatnonzero(contested).tolist()
        self._contested += len(positions)
        self._examples += [(refs[at], outputs[at]) for at in _spread(positions, CONTESTED_EXAMPLES)]
        if len(self._examples) > 32 * CONTESTED_EXAMPLES:
            self._examples = _spread(self._examples, 16 * CONTESTED_EXAMPLES)

    def _append(self, refs: list[ImageRef], has_row: list[bool]) -> None:
        self.counts["pending"] += len(refs)
        self.counts["pending_bytes"] += sum(ref.size_bytes for ref in refs)
        self.counts["pending_pixels"] += sum(map(estimated_pixels, refs))
        self._pending.append(refs, has_row)

    def _pending_images(self) -> Iterator[Candidate]:
        for part in chunks(self._pending.refs(), CHUNK):
            outputs = self._request.output_urls(pl.Series("key", [ref.key for ref, _ in part]))
            yield from (
                Candidate(ref, output, has_row) for (ref, has_row), output in zip(part, outputs, strict=True)
            )


def _spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most `most` of the items, evenly spread and with the first one."""
    return [items[at] for at in range(0, len(items), max(1, -(-len(items) // most)))]


def _restored(images: pl.DataFrame, verdict: Verdict, index: DoneIndex) -> Mask:
    """Return which images were rejected as archived but are no longer listed as archived."""
    restored: Mask = index.is_rejected_for(verdict, ARCHIVED) & ~images["archived"].to_numpy()
    return restored

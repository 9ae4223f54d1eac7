"""Classification of a listing (`Classifier`): every listed image is counted as done, pending or colliding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from infra.catalog.derained import Catalog
from infra.errors import ARCHIVED
from infra.records import ImageRef
from tasks.batch.planning.collisions import Candidate, ClaimedNames, Collision, settle
from tasks.batch.planning.done_index import DoneIndex, Verdict
from tasks.batch.planning.made_by import MadeBy
from tasks.batch.planning.ownership import Mask, Owners, image_hashes
from tasks.batch.planning.request import PlanRequest
from tasks.batch.planning.rivals import Contest
from tasks.media.key_hashes import CHUNK, chunks
from tasks.waves.pending import Pending, estimated_pixels

CONTESTED_EXAMPLES = 64
"""Largest number of contested images whose rivals are looked up."""
CONTESTED_A_CHUNK = 4
"""Largest number of examples per chunk, so that examples come from all parts of a listing."""


class Classifier:
    """Divides a listing, chunk by chunk, into done, pending, contested and colliding images.

    Parameters
    ----------
    request : PlanRequest
        Scope, selection and the images to redo.
    index : DoneIndex
        The catalog's rows of the scope.
    owners : Owners
        The owners of the outputs in the destination.
    pending : Pending
        Receives the pending images.
    """

    def __init__(self, request: PlanRequest, index: DoneIndex, owners: Owners, pending: Pending) -> None:
        self.counts: Counter[str] = Counter()
        self.rejected_for: Counter[str] = Counter()
        self.contest = Contest()
        self.collisions: tuple[Collision, ...] = ()
        self._request = request
        self._index = index
        self._owners = owners
        self._pending = pending
        self._made = np.zeros(0, np.int64)
        self._names = ClaimedNames(request.folding)
        self._candidates: list[Candidate] = []

    @property
    def made_by(self) -> tuple[MadeBy, ...]:
        """Models that made the outputs of images that are done."""
        return self._index.models.count(self._made)

    def add(self, refs: Sequence[ImageRef]) -> None:
        """Classify one chunk of the listing and queue its pending images."""
        frame = pl.DataFrame(
            {"key": [ref.key for ref in refs], "etag": [ref.etag for ref in refs]},
            schema={"key": pl.String, "etag": pl.String},
        )
        verdict = self._index.look_up(frame["key"], frame["etag"])
        stale = self._index.models.stale(verdict.numbers, self._request.model_digest) & verdict.derained
        to_do = ~self._done(verdict, stale) | self._restored(refs, verdict)
        self._count(verdict, stale, to_do)
        self._keep(refs, frame["key"], verdict.known, to_do)

    def finish(self, catalog: Catalog) -> None:
        """Decide which candidates collide, after the whole listing has been added."""
        if not self._candidates:
            return
        settled = settle(
            self._candidates, self._pending_images(), catalog, self._request.scope, self._request.folding
        )
        self.collisions = settled.collisions
        self.counts["colliding"] = len(settled.collisions)
        for part in chunks(settled.free, CHUNK):
            self._append([image.ref for image in part], [image.has_row for image in part])

    def _done(self, verdict: Verdict, stale: Mask) -> Mask:
        stays_rejected = verdict.rejected & (self._request.redo != "rejected")
        stays_derained = verdict.derained & ~(verdict.gone | verdict.replaced | verdict.overwritten)
        if self._request.redo == "stale":
            stays_derained &= ~stale
        return stays_rejected | stays_derained

    def _restored(self, refs: Sequence[ImageRef], verdict: Verdict) -> Mask:
        """Return which images were rejected as archived but are no longer listed as archived."""
        archived = np.fromiter((ref.archived for ref in refs), np.bool_, len(refs))
        return self._index.is_rejected_for(verdict, ARCHIVED) & ~archived

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
        self.rejected_for += self._index.count_reasons(verdict, ~to_do)
        made = np.bincount(verdict.numbers[verdict.derained & ~to_do], minlength=len(self._made)).astype(
            np.int64
        )
        made[: len(self._made)] += self._made
        self._made = made

    def _keep(self, refs: Sequence[ImageRef], keys: pl.Series, known: Mask, to_do: Mask) -> None:
        """Queue the pending images of a chunk, except colliding ones."""
        if not to_do.any():
            return
        outputs = self._request.output_urls(keys)
        sources = pl.Series([self._request.scope.source]).new_from_index(0, len(keys))
        contested, same_name = self._owners.contested(
            outputs, image_hashes(sources, keys), self._request.folding
        )
        self._contest(refs, outputs, to_do & same_name)
        if self._request.folding:
            colliding = to_do & contested & ~same_name
            colliding |= self._names.claim(outputs, to_do & ~colliding)
            self._candidates += [
                Candidate(refs[at], outputs[at], bool(known[at])) for at in np.flatnonzero(colliding).tolist()
            ]
            to_do &= ~colliding
        self._append(
            [ref for ref, is_wanted in zip(refs, to_do, strict=True) if is_wanted], known[to_do].tolist()
        )

    def _contest(self, refs: Sequence[ImageRef], outputs: pl.Series, contested: Mask) -> None:
        room = CONTESTED_EXAMPLES - len(self.contest.examples)
        chosen = np.flatnonzero(contested)[: min(room, CONTESTED_A_CHUNK)].tolist()
        self.contest = Contest(
            self.contest.images + int(np.count_nonzero(contested)),
            (*self.contest.examples, *(refs[at] for at in chosen)),
            (*self.contest.outputs, *(outputs[at] for at in chosen)),
        )

    def _append(self, refs: list[ImageRef], again: list[bool]) -> None:
        self.counts["pending"] += len(refs)
        self.counts["pending_bytes"] += sum(ref.size_bytes for ref in refs)
        self.counts["pending_pixels"] += sum(map(estimated_pixels, refs))
        self._pending.append(refs, again)

    def _pending_images(self) -> Iterator[Candidate]:
        for part in chunks(self._pending.refs(), CHUNK):
            outputs = self._request.output_urls(pl.Series("key", [ref.key for ref, _ in part]))
            yield from (
                Candidate(ref, output, again) for (ref, again), output in zip(part, outputs, strict=True)
            )

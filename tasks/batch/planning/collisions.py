"""Name collisions (`settle`): different keys with one output name, as `A.jpg` and `a.jpg` where case is ignored.

The image that owns the existing output keeps the name, or else the first one listed. The others become rejected
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from infra.catalog.derained import Catalog
from infra.records import ImageRef, Scope
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.ownership import Mask
from tasks.batch.planning.rivals import Rival, is_same_file, read_rivals, still_exists
from tasks.media.key_hashes import CHUNK, Hashes, chunks, find, hash_texts
from tasks.readable import short_reason

if TYPE_CHECKING:
    from tasks.batch.shards import ShardJob

COLLISION = "collides with another name"
"""The reason in the counts of a run; each row names the other image."""
_BEGIN = "collides with "


def counted_reason(reason: str | None) -> str:
    """Return the reason under which a rejected row is counted, without the names and figures of its image."""
    return COLLISION if reason and reason.startswith(_BEGIN) else short_reason(reason)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that may collide with another."""

    ref: ImageRef
    output: str
    """URL of its output."""
    has_row: bool
    """Whether a row with its identity exists."""
    was_rejected: bool = False
    """Whether that row rejects it because of a collision."""


@dataclass(frozen=True, slots=True)
class Collision:
    """An image that cannot be derained into this destination, and the reason."""

    ref: ImageRef
    reason: str
    is_recorded: bool = False
    """Whether an earlier run has rejected it for a collision."""


@dataclass(slots=True)
class ClaimedNames:
    """The folded names of all outputs that a plan will write, 16 bytes each."""

    folding: NameFolding
    _taken: Hashes = field(default_factory=lambda: np.empty(0, "S16"))

    def claim(self, outputs: pl.Series, wanted: Mask) -> Mask:
        """Claim the names of the wanted outputs; return which of them were already taken."""
        hashes = hash_texts(self.folding.fold(outputs))
        positions = np.flatnonzero(wanted)
        first = np.zeros(len(hashes), np.bool_)
        _, first_of_each = np.unique(hashes[positions], return_index=True)
        first[positions[first_of_each]] = True
        free = first & ~find(self._taken, hashes)[1]
        self._taken = np.sort(np.concatenate([self._taken, hashes[free]]))
        return wanted & ~free


@dataclass(frozen=True, slots=True)
class Settled:
    """The decisions on the candidates."""

    collisions: tuple[Collision, ...]
    free: tuple[Candidate, ...]
    """Images whose rival no longer exists; they can be derained."""


def settle(
    candidates: Sequence[Candidate],
    pending: Iterable[Candidate],
    catalog: Catalog,
    scope: Scope,
    folding: NameFolding,
) -> Settled:
    """Find the image with which each candidate collides.

    Parameters
    ----------
    candidates : Sequence[Candidate]
        Images whose output names are taken.
    pending : Iterable[Candidate]
        The images that will be derained; read as a stream.
    catalog : Catalog
        The catalog, which names the owners of existing outputs.
    scope : Scope
        Scope of the run.
    folding : NameFolding
        How the destination folds names.
    """
    outputs = [candidate.output for candidate in candidates]
    rivals = read_rivals(catalog, scope.destination, outputs, folding)
    folded = hash_texts(folding.fold(pl.Series(outputs, dtype=pl.String))).tolist()
    first_of = _first_keys(pending, sorted(folded), folding)
    collisions, free = [], []
    for candidate, name in zip(candidates, folded, strict=True):
        other = _rival_key(candidate.ref, rivals.get(candidate.output), scope) or first_of.get(name)
        if other is None:
            first_of[name] = candidate.ref.key
            free.append(candidate)
        else:
            reason = f"{_BEGIN}{other} ({_why(folding)})"
            collisions.append(Collision(candidate.ref, reason, candidate.was_rejected))
    return Settled(tuple(collisions), tuple(free))


def record_collisions(found: Sequence[Collision], job: ShardJob, catalog: Catalog) -> None:
    """Commit a rejected row for each colliding image; the reason names the other image."""
    from tasks.batch.shards import rejected_record  # imports PyTorch only if needed

    rows = [rejected_record(job, collision.ref, collision.reason) for collision in found]
    catalog.commit(rows, replace=True)


def _rival_key(ref: ImageRef, rival: Rival | None, scope: Scope) -> str | None:
    if rival is None or (rival.source, rival.key) == (scope.source, ref.key):
        return None
    if rival.source != scope.source:
        return f"{rival.source}/{rival.key}" if still_exists(rival) else None
    return rival.key if still_exists(rival) and not is_same_file(scope.source, ref.key, rival.key) else None


def _first_keys(
    pending: Iterable[Candidate], wanted: Sequence[bytes], folding: NameFolding
) -> dict[bytes, str]:
    """Return the keys of the pending images whose outputs have these folded names."""
    found: dict[bytes, str] = {}
    for part in chunks(pending, CHUNK):
        hashes = hash_texts(folding.fold(pl.Series([image.output for image in part])))
        is_wanted = find(np.array(wanted, "S16"), hashes)[1]
        found.update((hashes[at], part[at].ref.key) for at in np.flatnonzero(is_wanted))
    return found


def _why(folding: NameFolding) -> str:
    if folding.ignores_case:
        return "the destination ignores case; rename one of them, or choose another destination"
    return "the destination takes both names for one; rename one of them, or choose another destination"

"""What a catalog knows of the images of one scope, in 35 bytes a row; looked up for thousands at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infra.storage.listing import OTHER_REASONS
from tasks.media.key_hashes import Hashes, ShortHashes, find, hash_briefly, hash_pairs, hash_texts
from tasks.readable import short_reason

COLUMNS = ("key", "etag", "status", "reason", "output_key", "model_digest", "derained_at")
"""The catalog's columns that an index is made of."""

_REJECTED, _GONE, _STALE = 1, 2, 4

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of some images, a flag for each.

    `rejected`, `derained`, `gone` and `stale` speak of the latest row of a key, and only where it has the
    etag that was listed; `known` tells that the identity has a row, be it the latest or not.
    """

    known: Mask
    rejected: Mask
    derained: Mask
    gone: Mask
    stale: Mask
    reasons: npt.NDArray[np.uint16]
    """Numbers of reasons, which `DoneIndex.reason_names` names; they count only where `rejected` is set."""


@dataclass(frozen=True, slots=True)
class DoneIndex:
    """The latest row of each key, and the identities of the earlier ones.

    The latest row decides: an object that went from A to B and back to A has a row for A, yet its output is
    B's.
    """

    keys: Hashes
    etags: ShortHashes
    flags: npt.NDArray[np.uint8]
    reasons: npt.NDArray[np.uint16]
    earlier: Hashes
    reason_names: tuple[str, ...]

    def look_up(self, keys: pl.Series, etags: pl.Series) -> Verdict:
        """Tell what is known of images."""
        key_hashes, etag_hashes = hash_texts(keys), hash_briefly(etags)
        positions, same = find(self.keys, key_hashes)
        flags, reasons = np.zeros(len(keys), np.uint8), np.zeros(len(keys), np.uint16)
        if len(self.keys):
            same &= self.etags[positions] == etag_hashes
            flags = np.where(same, self.flags[positions], 0).astype(np.uint8)
            reasons = self.reasons[positions]
        rejected = same & (flags & _REJECTED > 0)
        known = same | find(self.earlier, hash_pairs(key_hashes, etag_hashes))[1]
        return Verdict(known, rejected, same & ~rejected, flags & _GONE > 0, flags & _STALE > 0, reasons)

    def count_reasons(self, verdict: Verdict, among: Mask) -> Counter[str]:
        """Count why images were rejected, of those that a mask chooses."""
        chosen = verdict.reasons[verdict.rejected & among]
        numbers, counts = np.unique(chosen, return_counts=True)
        return Counter({self.reason_names[n]: int(count) for n, count in zip(numbers, counts, strict=True)})


def build_index(rows: Iterable[pa.RecordBatch], outputs: Hashes, model_digest: str) -> DoneIndex:
    """Build the index of a scope.

    Parameters
    ----------
    rows : Iterable[pyarrow.RecordBatch]
        All rows of the scope, with `COLUMNS`.
    outputs : Hashes
        Sorted hashes of the keys that are in the destination.
    model_digest : str
        Rows of another model are stale.
    """
    names = ReasonNames()
    parts = [_packed(pl.DataFrame(batch), outputs, model_digest, names) for batch in rows]
    packed = np.concatenate(parts) if parts else np.empty((0, _WIDTH), np.uint8)
    del parts
    packed.view(f"S{_WIDTH}").sort(axis=0)
    keys, etags = _hashes(packed[:, _KEY]), _hashes(packed[:, _ETAG]).view(np.uint64)
    flags, reasons = packed[:, _FLAGS], _hashes(packed[:, _REASON]).view(np.uint16)
    latest = np.ones(len(keys), np.bool_)
    latest[:-1] = keys[1:] != keys[:-1]
    earlier = hash_pairs(keys[~latest], etags[~latest])
    earlier.sort()
    return DoneIndex(
        keys[latest], etags[latest], flags[latest], reasons[latest], earlier, tuple(names.numbers)
    )


class ReasonNames:
    """Numbers for the reasons of rejected rows, so that a row holds two bytes instead of a text."""

    MOST = 1000
    """Reasons with a number of their own; any further one counts as `OTHER_REASONS`."""

    def __init__(self) -> None:
        self.numbers = {OTHER_REASONS: 0}

    def number(self, reason: str | None) -> int:
        """Return the number of a reason, without the figures that it has in brackets."""
        name = short_reason(reason)
        if name in self.numbers or len(self.numbers) < self.MOST:
            return self.numbers.setdefault(name, len(self.numbers))
        return 0


# A row is packed in bytes, key and time first: sorted as text, the rows of a key stand together, the latest
# last.
_KEY, _TIME, _ETAG, _FLAGS, _REASON = slice(0, 16), slice(16, 24), slice(24, 32), 32, slice(33, 35)
_WIDTH = 35


def _packed(
    frame: pl.DataFrame, outputs: Hashes, model_digest: str, names: ReasonNames
) -> npt.NDArray[np.uint8]:
    """Pack rows in new memory, so that nothing of the batch they came in is kept."""
    derained = (frame["status"] == "derained").to_numpy()
    there = find(outputs, hash_texts(frame["output_key"]))[1] & frame["output_key"].is_not_null().to_numpy()
    stale = (frame["model_digest"] != model_digest).to_numpy()
    packed = np.empty((frame.height, _WIDTH), np.uint8)
    packed[:, _KEY] = _bytes(hash_texts(frame["key"]))
    packed[:, _TIME] = _bytes(frame["derained_at"].dt.timestamp("us").to_numpy().astype(">u8"))
    packed[:, _ETAG] = _bytes(hash_briefly(frame["etag"]))
    packed[:, _FLAGS] = ~derained * _REJECTED + (derained & ~there) * _GONE + (derained & stale) * _STALE
    # A column of few distinct texts: each is looked up once, not once a row.
    number_of = {reason: names.number(reason) for reason in frame["reason"].unique()}
    reasons = np.fromiter(map(number_of.__getitem__, frame["reason"]), np.uint16, frame.height)
    packed[:, _REASON] = _bytes(reasons)
    return packed


def _bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return values.view(np.uint8).reshape(len(values), values.itemsize)


def _hashes(packed: npt.NDArray[np.uint8]) -> Hashes:
    return np.ascontiguousarray(packed).view(f"S{packed.shape[1]}").ravel()

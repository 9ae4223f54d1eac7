"""What a catalog knows of the images of one scope, in 33 bytes a row; looked up for thousands at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from tasks.key_hashes import Hashes, ShortHashes, find, hash_briefly, hash_pairs, hash_texts

COLUMNS = ("key", "etag", "status", "output_key", "model_digest", "derained_at")
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


@dataclass(frozen=True, slots=True)
class DoneIndex:
    """The latest row of each key, and the identities of the earlier ones.

    The latest row decides: an object that went from A to B and back to A has a row for A, yet its output is
    B's.
    """

    keys: Hashes
    etags: ShortHashes
    flags: npt.NDArray[np.uint8]
    earlier: Hashes

    def look_up(self, keys: pl.Series, etags: pl.Series) -> Verdict:
        """Tell what is known of images."""
        key_hashes, etag_hashes = hash_texts(keys), hash_briefly(etags)
        positions, same = find(self.keys, key_hashes)
        flags = np.zeros(len(keys), np.uint8)
        if len(self.keys):
            same &= self.etags[positions] == etag_hashes
            flags = np.where(same, self.flags[positions], 0).astype(np.uint8)
        rejected = same & (flags & _REJECTED > 0)
        known = same | find(self.earlier, hash_pairs(key_hashes, etag_hashes))[1]
        return Verdict(known, rejected, same & ~rejected, flags & _GONE > 0, flags & _STALE > 0)


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
    parts = [_part(pl.DataFrame(pa.Table.from_batches([batch])), outputs, model_digest) for batch in rows]
    keys, etags, times, flags = _joined(parts)
    del parts
    order = np.lexsort((times, keys))
    keys, etags, flags = keys[order], etags[order], flags[order]
    latest = np.ones(len(keys), np.bool_)
    latest[:-1] = keys[1:] != keys[:-1]
    earlier = hash_pairs(keys[~latest], etags[~latest])
    earlier.sort()
    return DoneIndex(keys[latest], etags[latest], flags[latest], earlier)


_Part = tuple[Hashes, ShortHashes, npt.NDArray[np.int64], npt.NDArray[np.uint8]]


def _part(frame: pl.DataFrame, outputs: Hashes, model_digest: str) -> _Part:
    derained = (frame["status"] == "derained").to_numpy()
    there = find(outputs, hash_texts(frame["output_key"]))[1] & frame["output_key"].is_not_null().to_numpy()
    stale = (frame["model_digest"] != model_digest).to_numpy()
    flags = ~derained * _REJECTED + (derained & ~there) * _GONE + (derained & stale) * _STALE
    times = frame["derained_at"].dt.timestamp("us").to_numpy()
    return hash_texts(frame["key"]), hash_briefly(frame["etag"]), times, flags.astype(np.uint8)


def _joined(parts: list[_Part]) -> _Part:
    empty = (np.empty(0, "S16"), np.empty(0, np.uint64), np.empty(0, np.int64), np.empty(0, np.uint8))
    keys, etags, times, flags = zip(empty, *parts, strict=True)
    return np.concatenate(keys), np.concatenate(etags), np.concatenate(times), np.concatenate(flags)

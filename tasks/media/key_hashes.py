"""Keys as 128-bit hashes (`hash_texts`): vectorised comparison of millions of keys in little memory.

A key takes 16 bytes, whatever its length. Among n keys, the probability that any two share a hash is n² / 2^129:
one in 10^20 for a thousand million keys. Every process draws new seeds, so nobody can prepare colliding keys.
Hashes are therefore never stored, and nothing may depend on their order.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.storage.spill import Place, SpillFile

Hashes = npt.NDArray[np.bytes_]
"""Hashes as fixed-width byte strings (S16), which NumPy can sort and search."""
ShortHashes = npt.NDArray[np.uint64]

CHUNK = 32_768
"""Number of references that are looked up at once, and of texts that are hashed at once."""

_SEEDS = (secrets.randbits(64), secrets.randbits(64))

Item = TypeVar("Item")


def hash_texts(texts: pl.Series) -> Hashes:
    """Hash each text to 128 bits."""
    halves = np.stack([texts.hash(seed).to_numpy() for seed in _SEEDS], axis=1)
    return np.ascontiguousarray(halves).view("S16").ravel()


def short_hashes(texts: pl.Series) -> ShortHashes:
    """Hash each text to 64 bits, which is enough to distinguish the etags of one key."""
    return texts.hash(_SEEDS[0]).to_numpy()


def hash_pairs(hashes: Hashes, others: ShortHashes) -> Hashes:
    """Concatenate pairs of hashes to 192 bits."""
    thirds = np.column_stack([hashes.view(np.uint64).reshape(-1, 2), others])
    return np.ascontiguousarray(thirds).view("S24").ravel()


def sorted_hashes(texts: Iterable[str]) -> Hashes:
    """Hash a stream of texts and sort the hashes; one chunk of texts is in memory at a time."""
    hashes = [hash_texts(pl.Series(part, dtype=pl.String)) for part in chunks(texts, CHUNK)]
    joined = np.concatenate(hashes) if hashes else np.empty(0, "S16")
    joined.sort()
    return joined


class SeenHashes:
    """Hashes in a temporary file, in groups by their first byte, each of which is small enough to be sorted.

    Parameters
    ----------
    file : SpillFile
        The file; the caller closes it.
    """

    GROUPS = 64

    def __init__(self, file: SpillFile) -> None:
        self._file = file
        self._places: list[list[Place]] = [[] for _ in range(self.GROUPS)]

    def add(self, hashes: Hashes) -> None:
        """Store hashes."""
        group = hashes.view(np.uint8).reshape(-1, 16)[:, 0] % self.GROUPS
        order = np.argsort(group, kind="stable")
        starts = np.searchsorted(group[order], np.arange(1, self.GROUPS))
        for places, part in zip(self._places, np.split(hashes[order], starts), strict=True):
            if len(part):
                places.append(self._file.append(part.tobytes()))

    def repeated(self) -> Hashes:
        """Return the hashes that were stored more than once, sorted."""
        found = [self._repeated_in(places) for places in self._places if places]
        return np.sort(np.concatenate(found)) if found else np.empty(0, "S16")

    def _repeated_in(self, places: list[Place]) -> Hashes:
        hashes = np.frombuffer(b"".join(map(self._file.read, places)), "S16").copy()
        hashes.sort()
        return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def find(sorted_ones: Hashes, wanted: Hashes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """Find hashes in a sorted array.

    Returns
    -------
    positions : numpy.ndarray
        Index of each hash; an arbitrary valid index if it was not found (0 if the array is empty).
    found : numpy.ndarray
        Whether each hash was found.
    """
    if not len(sorted_ones):
        return np.zeros(len(wanted), np.intp), np.zeros(len(wanted), np.bool_)
    # Neighbouring searches read the same cache lines: half the time among millions.
    order = np.argsort(wanted)
    positions = np.empty(len(wanted), np.intp)
    positions[order] = np.minimum(np.searchsorted(sorted_ones, wanted[order]), len(sorted_ones) - 1)
    return positions, sorted_ones[positions] == wanted


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split a stream into lists of `size` items; the last may be shorter."""
    stream = iter(items)
    while part := list(islice(stream, size)):
        yield part

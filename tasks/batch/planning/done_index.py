"""Index of a scope's catalog rows (`build_index`): 39 bytes per row, looked up for thousands of images at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.catalog.delta.schema import VERSION
from infra.storage.listing import OTHER_REASONS
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.collisions import counted_reason
from tasks.batch.planning.made_by import ModelNumbers
from tasks.batch.planning.output_listing import GONE, REPLACED, as_bytes, columns, output_urls
from tasks.batch.planning.ownership import ORDER_BYTES, Mask, Owners, row_orders
from tasks.media.key_hashes import Hashes, ShortHashes, find, hash_pairs, hash_texts, short_hashes

COLUMNS = (
    "key", "etag", "status", "reason", "destination", "output_key", "model_name", "model_version", "model_digest",
    VERSION, "derained_at",
)  # fmt: skip
"""The catalog columns from which an index is built."""

_REJECTED, _GONE, _REPLACED, _OVERWRITTEN = 1, 2, 4, 8
# A row is packed in bytes, key and age first: sorting the bytes groups the rows of a key, the latest last.
_KEY, _ORDER, _ETAG, _FLAGS, _NUMBER = (
    slice(0, 16),
    slice(16, 16 + ORDER_BYTES),
    slice(28, 36),
    slice(36, 37),
    slice(37, 39),
)
_WIDTH = 39


@dataclass(frozen=True, slots=True)
class Verdict:
    """The status of several images, one flag per image.

    All flags except `has_row` refer to the latest row of a key, and only if that row has the listed etag. `has_row`
    means that a row with this identity exists, not necessarily the latest.
    """

    has_row: Mask
    rejected: Mask
    derained: Mask
    gone: Mask
    """Derained, but the output no longer exists."""
    replaced: Mask
    """Derained, but the output differs from what was written: it was truncated or replaced."""
    overwritten: Mask
    """Derained, but the output belongs to a newer row."""
    numbers: npt.NDArray[np.uint16]
    """For a derained image, its model's number in `DoneIndex.models`; for a rejected one, its reason's number."""


@dataclass(frozen=True, slots=True)
class DoneIndex:
    """The latest row of each key, and the identities of the earlier ones.

    The latest row decides: an object that changed from A to B and back to A has a row for A, but its output was
    made from B.
    """

    keys: Hashes
    etags: ShortHashes
    flags: npt.NDArray[np.uint8]
    numbers: npt.NDArray[np.uint16]
    """See `Verdict.numbers`."""
    earlier: Hashes
    names: RowNames

    def look_up(self, keys: pl.Series, etags: pl.Series) -> Verdict:
        """Return the status of images."""
        key_hashes, etag_hashes = hash_texts(keys), short_hashes(etags)
        positions, same = find(self.keys, key_hashes)
        flags, numbers = np.zeros(len(keys), np.uint8), np.zeros(len(keys), np.uint16)
        if len(self.keys):
            same &= self.etags[positions] == etag_hashes
            flags = np.where(same, self.flags[positions], 0).astype(np.uint8)
            numbers = self.numbers[positions]
        rejected = same & (flags & _REJECTED > 0)
        return Verdict(
            has_row=same | find(self.earlier, hash_pairs(key_hashes, etag_hashes))[1],
            rejected=rejected,
            derained=same & ~rejected,
            gone=flags & _GONE > 0,
            replaced=flags & _REPLACED > 0,
            overwritten=flags & _OVERWRITTEN > 0,
            numbers=numbers,
        )

    def count_reasons(self, verdict: Verdict, among: Mask) -> Counter[str]:
        """Count the reasons for rejection among the images that a mask selects."""
        reasons = self.names.reasons.all
        chosen = verdict.numbers[verdict.rejected & among]
        numbers, counts = np.unique(chosen, return_counts=True)
        return Counter({reasons[n]: int(count) for n, count in zip(numbers, counts, strict=True)})

    def is_rejected_for(self, verdict: Verdict, reason: str) -> Mask:
        """Return which images were rejected for a reason."""
        has_reason: Mask = verdict.numbers == self.names.reasons.numbers.get(reason, -1)
        return verdict.rejected & has_reason


def build_index(
    rows: Iterable[pl.DataFrame], owners: Owners, folding: NameFolding, names: RowNames
) -> DoneIndex:
    """Build the index of a scope.

    Parameters
    ----------
    rows : Iterable[polars.DataFrame]
        All rows of the scope, with `COLUMNS`.
    owners : Owners
        The owners of the outputs in the destination.
    folding : NameFolding
        How the destination folds names.
    names : RowNames
        The numbers of models and reasons; those that occur for the first time are added.
    """
    parts = [_packed(frame, owners, folding, names.encode(frame)) for frame in rows]
    packed = np.concatenate(parts) if parts else np.empty((0, _WIDTH), np.uint8)
    del parts
    packed.view(f"S{_WIDTH}").sort(axis=0)
    keys = columns(packed, _KEY).view("S16").ravel()
    etags = columns(packed, _ETAG).view(np.uint64).ravel()
    latest = np.ones(len(keys), np.bool_)
    latest[:-1] = keys[1:] != keys[:-1]
    earlier = hash_pairs(keys[~latest], etags[~latest])
    earlier.sort()
    packed = packed[latest]
    flags, numbers = columns(packed, _FLAGS).ravel(), columns(packed, _NUMBER).view(np.uint16).ravel()
    return DoneIndex(keys[latest], etags[latest], flags, numbers, earlier, names)


class ReasonNames:
    """Numbers for the reasons of rejected rows, so that a row takes two bytes instead of a string."""

    MOST = 1000
    """Number of reasons that get separate numbers; further ones count as `OTHER_REASONS`."""

    def __init__(self) -> None:
        self.numbers = {OTHER_REASONS: 0}

    @property
    def all(self) -> tuple[str, ...]:
        """The reasons in the order of their numbers."""
        return tuple(self.numbers)

    def encode(self, reasons: pl.Series) -> npt.NDArray[np.uint16]:
        """Return the numbers of reasons."""
        # The column has few distinct strings: each is looked up once, not once per row.
        number_of = {reason: self.number(reason) for reason in reasons.unique()}
        return np.fromiter(map(number_of.__getitem__, reasons), np.uint16, len(reasons))

    def number(self, reason: str | None) -> int:
        """Return the number of a reason; see `counted_reason`."""
        name = counted_reason(reason)
        if name in self.numbers or len(self.numbers) < self.MOST:
            return self.numbers.setdefault(name, len(self.numbers))
        return 0


@dataclass(frozen=True, slots=True)
class RowNames:
    """Numbers for what the rows of a plan name: their models and reasons."""

    models: ModelNumbers = field(default_factory=ModelNumbers)
    reasons: ReasonNames = field(default_factory=ReasonNames)

    def encode(self, frame: pl.DataFrame) -> npt.NDArray[np.uint16]:
        """Return the number of the model of each derained row, and of the reason of each rejected one."""
        is_derained = (frame["status"] == "derained").to_numpy()
        return np.where(is_derained, self.models.encode(frame), self.reasons.encode(frame["reason"]))


def _packed(
    frame: pl.DataFrame, owners: Owners, folding: NameFolding, numbers: npt.NDArray[np.uint16]
) -> npt.NDArray[np.uint8]:
    """Pack rows into new memory, so that their batch can be freed."""
    orders = row_orders(frame)
    packed = np.empty((frame.height, _WIDTH), np.uint8)
    packed[:, _KEY] = as_bytes(hash_texts(frame["key"]))
    packed[:, _ORDER] = orders
    packed[:, _ETAG] = as_bytes(short_hashes(frame["etag"]))
    packed[:, _FLAGS] = _flags(frame, orders, owners, folding)[:, np.newaxis]
    packed[:, _NUMBER] = as_bytes(numbers)
    return packed


def _flags(
    frame: pl.DataFrame, orders: npt.NDArray[np.uint8], owners: Owners, folding: NameFolding
) -> npt.NDArray[np.uint8]:
    urls = hash_texts(folding.fold(output_urls(frame["destination"], frame["output_key"])))
    states, is_newest = owners.states_of(urls, orders.view(f"S{ORDER_BYTES}").ravel())
    derained = (frame["status"] == "derained").to_numpy()
    flags = ~derained * _REJECTED
    flags += (derained & (states == GONE)) * _GONE
    flags += (derained & is_newest & (states == REPLACED)) * _REPLACED
    flags += (derained & ~is_newest & (states != GONE)) * _OVERWRITTEN
    return flags.astype(np.uint8)

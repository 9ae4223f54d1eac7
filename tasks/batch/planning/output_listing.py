"""Compact listing of a destination (`read_listing`): 24 bytes per object, compared with the catalog's rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from infra.storage.name_folding import NameFolding
from tasks.media.key_hashes import Hashes, find, hash_texts, short_hashes

GONE, REPLACED, INTACT = 0, 1, 2
"""States of an output: it does not exist; it exists but differs from what was written; it is as it was written."""

_KEY, _SIZE, _ETAG = slice(0, 16), slice(16, 20), slice(20, 24)
_WIDTH = 24

States = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class OutputListing:
    """The objects of a destination by the hash of their URL, with 32 bits of the size and 32 of the etag."""

    urls: Hashes
    sizes: Words
    etags: Words

    def states(self, urls: Hashes, sizes: pl.Series, etags: pl.Series) -> States:
        """Compare outputs with their rows: `GONE`, `REPLACED` or `INTACT`.

        Parameters
        ----------
        urls : Hashes
            Hashes of the outputs' URLs.
        sizes, etags : polars.Series
            Values of the rows; null if unknown. An output is never empty, whatever its row says.
        """
        if not len(self.urls):
            return np.full(len(urls), GONE, np.uint8)
        positions, is_there = find(self.urls, urls)
        listed = self.sizes[positions]
        same_size = np.where(sizes.is_null().to_numpy(), listed > 0, listed == _size_words(sizes))
        same_etag = etags.is_null().to_numpy() | (self.etags[positions] == _etag_words(etags))
        states = np.where(same_size & same_etag, INTACT, REPLACED)
        return np.where(is_there, states, GONE).astype(np.uint8)


def read_listing(destination: str, objects: Iterable[pl.DataFrame], folding: NameFolding) -> OutputListing:
    """Read the listing of a destination as a stream; see `tasks.batch.planning.ref_frames.output_frames`."""
    parts = [_packed(destination, frame, folding) for frame in objects]
    packed = np.concatenate(parts) if parts else np.empty((0, _WIDTH), np.uint8)
    del parts
    packed.view(f"S{_WIDTH}").sort(axis=0)
    return OutputListing(
        columns(packed, _KEY).view("S16").ravel(),
        columns(packed, _SIZE).view(np.uint32).ravel(),
        columns(packed, _ETAG).view(np.uint32).ravel(),
    )


def output_urls(destinations: pl.Series, keys: pl.Series) -> pl.Series:
    """Join destinations and keys, so that an output has the same URL if it is listed from `a` or from `a/b`."""
    return pl.select(pl.concat_str(destinations, keys, separator="/")).to_series()


def sorted_urls(batches: Iterable[pa.RecordBatch]) -> Hashes:
    """Hash and sort the URLs of a stream of rows whose two columns are a base and a key."""
    frames = map(pl.DataFrame, batches)
    hashes = [hash_texts(output_urls(*frame.get_columns())) for frame in frames]
    return np.sort(np.concatenate([np.empty(0, "S16"), *hashes]))


def urls_below(destination: str, keys: pl.Series) -> pl.Series:
    """Return the URLs of the objects of a destination."""
    return pl.select(pl.concat_str(pl.lit(f"{destination}/"), keys)).to_series()


def as_bytes(values: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """View values as rows of bytes."""
    return np.ascontiguousarray(values).view(np.uint8).reshape(len(values), values.itemsize)


def columns(packed: npt.NDArray[np.uint8], part: slice) -> npt.NDArray[np.uint8]:
    """Copy some byte columns of packed rows, so that they can be viewed as another type."""
    return np.ascontiguousarray(packed[:, part])


def _packed(destination: str, objects: pl.DataFrame, folding: NameFolding) -> npt.NDArray[np.uint8]:
    packed = np.empty((objects.height, _WIDTH), np.uint8)
    packed[:, _KEY] = as_bytes(hash_texts(folding.fold(urls_below(destination, objects["key"]))))
    packed[:, _SIZE] = as_bytes(_size_words(objects["size_bytes"]))
    packed[:, _ETAG] = as_bytes(_etag_words(objects["etag"]))
    return packed


def _size_words(sizes: pl.Series) -> Words:
    return sizes.fill_null(0).to_numpy().astype(np.uint32)


def _etag_words(etags: pl.Series) -> Words:
    return short_hashes(etags).astype(np.uint32)

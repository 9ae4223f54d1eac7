"""Ownership of outputs (`find_owners`): an output belongs to the newest row that wrote it.

Two sources in one destination, or two exports of one source, may have outputs of the same name; only the newest row
then describes the output. Rows are ordered by the table version of their commit, because clocks may be wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
import numpy.typing as npt
import polars as pl

from infra.catalog.delta.conditions import quoted
from infra.catalog.delta.schema import VERSION
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.output_listing import (
    GONE,
    INTACT,
    OutputListing,
    States,
    as_bytes,
    columns,
    output_urls,
)
from tasks.media.key_hashes import Hashes, ShortHashes, find, hash_texts, short_hashes

COLUMNS = ("source", "key", "destination", "output_key", "output_size", "output_etag", VERSION, "derained_at")
"""The catalog columns from which owners are determined."""

ORDER_BYTES = 12
_URL, _ORDER, _EXACT, _IMAGE, _STATE = (
    slice(0, 16),
    slice(16, 28),
    slice(28, 36),
    slice(36, 44),
    slice(44, 45),
)
_WIDTH = 45
_BEFORE_ALL = 1 << 31

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Owners:
    """The newest row of each output below a destination, 45 bytes each."""

    urls: Hashes
    """Hashes of the outputs' URLs, folded as the destination folds names."""
    orders: npt.NDArray[np.bytes_]
    exact: ShortHashes
    """Hashes of the URLs as they are in the rows."""
    images: ShortHashes
    """Hashes of the images' sources and keys."""
    states: States
    """Agreement of each output with its row; see `tasks.batch.planning.output_listing`."""

    def states_of(self, urls: Hashes, orders: npt.NDArray[np.bytes_]) -> tuple[States, Mask]:
        """Return the state of outputs, and whether the rows of these orders are their newest rows."""
        if not len(self.urls):
            return np.full(len(urls), GONE, np.uint8), np.zeros(len(urls), np.bool_)
        positions, is_known = find(self.urls, urls)
        states = np.where(is_known, self.states[positions], GONE).astype(np.uint8)
        return states, is_known & (self.orders[positions] == orders)

    def contested(self, urls: pl.Series, images: ShortHashes, folding: NameFolding) -> tuple[Mask, Mask]:
        """Return which outputs belong to another image.

        Returns
        -------
        contested : numpy.ndarray
            Whether an intact output of another source or key has the name.
        same_name : numpy.ndarray
            Whether it has exactly the same name, rather than one that the destination folds to the same.
        """
        if not len(self.urls):
            return np.zeros(len(urls), np.bool_), np.zeros(len(urls), np.bool_)
        positions, is_known = find(self.urls, hash_texts(folding.fold(urls)))
        others = is_known & (self.images[positions] != images) & (self.states[positions] == INTACT)
        return others, others & (self.exact[positions] == short_hashes(urls))


def find_owners(rows: Iterable[pl.DataFrame], outputs: OutputListing, folding: NameFolding) -> Owners:
    """Find the newest row of each output.

    Parameters
    ----------
    rows : Iterable[polars.DataFrame]
        The derained rows of a destination (`written_below`), with `COLUMNS`.
    outputs : OutputListing
        The objects in the destination.
    folding : NameFolding
        How the destination folds names.
    """
    parts = [_packed(frame, outputs, folding) for frame in rows]
    packed = np.concatenate(parts) if parts else np.empty((0, _WIDTH), np.uint8)
    del parts
    packed.view(f"S{_WIDTH}").sort(axis=0)  # by output, then by age
    urls = columns(packed, _URL).view("S16").ravel()
    newest = np.ones(len(urls), np.bool_)
    newest[:-1] = urls[1:] != urls[:-1]
    packed = packed[newest]
    return Owners(
        urls[newest],
        columns(packed, _ORDER).view(f"S{ORDER_BYTES}").ravel(),
        columns(packed, _EXACT).view(np.uint64).ravel(),
        columns(packed, _IMAGE).view(np.uint64).ravel(),
        columns(packed, _STATE).ravel(),
    )


def row_orders(frame: pl.DataFrame) -> npt.NDArray[np.uint8]:
    """Return bytes that sort rows by age, the newest last: by the table version of their commit, then by time.

    Rows written by earlier versions of this project have no table version and sort before all others.
    """
    versions = frame[VERSION].fill_null(-_BEFORE_ALL).to_numpy() + _BEFORE_ALL
    times = frame["derained_at"].dt.timestamp("us").to_numpy()
    return np.hstack([as_bytes(versions.astype(">u4")), as_bytes(times.astype(">u8"))])


def image_hashes(sources: pl.Series, keys: pl.Series) -> ShortHashes:
    """Hash the source and key of each image, which identify it independently of its bytes."""
    return short_hashes(pl.select(pl.concat_str(sources, keys, separator="\n")).to_series())


def written_below(destination: str) -> str:
    """Return an SQL condition for rows whose destination may lie below or above this one."""
    return related("destination", destination)


def related(column: str, url: str) -> str:
    """Return an SQL condition for rows whose column holds a URL, or one that may lie below or above it."""
    path = PurePosixPath(url)
    above = ", ".join(quoted(_as_written(str(parent))) for parent in (path, *path.parents))
    # A range instead of a function of the column lets the reader skip files of other destinations.
    return f"({column} IN ({above}) OR ({column} > {quoted(f'{url}/')} AND {column} < {quoted(f'{url}0')}))"


def _as_written(path: str) -> str:
    """Restore the second slash of a URL that `PurePosixPath` removes."""
    scheme, colon, rest = path.partition(":/")
    return f"{scheme}://{rest}" if colon and scheme and "/" not in scheme else path


def _packed(frame: pl.DataFrame, outputs: OutputListing, folding: NameFolding) -> npt.NDArray[np.uint8]:
    urls = output_urls(frame["destination"], frame["output_key"])
    hashes = hash_texts(folding.fold(urls))
    packed = np.empty((frame.height, _WIDTH), np.uint8)
    packed[:, _URL] = as_bytes(hashes)
    packed[:, _ORDER] = row_orders(frame)
    packed[:, _EXACT] = as_bytes(short_hashes(urls))
    packed[:, _IMAGE] = as_bytes(image_hashes(frame["source"], frame["key"]))
    packed[:, _STATE] = as_bytes(outputs.states(hashes, frame["output_size"], frame["output_etag"]))
    return packed

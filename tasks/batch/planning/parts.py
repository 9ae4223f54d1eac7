"""Division of a plan into parts (`divide`), each of which fits in memory.

A part consists of the listed images, catalog rows and existing outputs whose output names have the same hash modulo
the number of parts. An image is compared only with rows and outputs of its own output name, so each part can be
planned alone. Parts wait in a temporary file; a plan of one part needs none.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from infra.storage.spill import Place, SpillFile
from tasks.batch.planning.output_listing import output_urls
from tasks.batch.planning.request import PlanRequest

PART_ROWS = 4_000_000
"""Largest number of catalog rows per part, on average; planning them takes less than 1 GB."""
SPILLED_ROWS = 131_072
"""Number of rows that are divided at once, so that the pieces of a part do not become too small."""

_SEED = 20_251_101  # fixed, so that the same listing gives the same shards
_PART = "__part"


@dataclass(frozen=True, slots=True)
class Part:
    """The streams that a part, or the whole, of a plan is made from; each can be read once."""

    listing: Iterable[pl.DataFrame]
    """Images of the source; see `tasks.batch.planning.ref_frames.SCHEMA`."""
    outputs: Iterable[pl.DataFrame]
    """Objects of the destination, with the same columns."""
    written: Iterable[pl.DataFrame]
    """Rows of outputs below the destination; see `tasks.batch.planning.ownership.COLUMNS`."""
    rows: Iterable[pl.DataFrame]
    """Rows of the scope; see `tasks.batch.planning.done_index.COLUMNS`."""


def part_count(rows: int) -> int:
    """Return the number of parts for a catalog with this many rows."""
    return max(1, -(-rows // PART_ROWS))


def divide(whole: Part, request: PlanRequest, count: int) -> Generator[Part]:
    """Divide a plan into parts; all streams are read before the first part of several.

    Parameters
    ----------
    whole : Part
        The streams of the whole plan.
    request : PlanRequest
        Gives the output name of an image, and how the destination folds names.
    count : int
        Number of parts.
    """
    if count == 1:
        yield whole
        return
    with SpillFile() as file:

        def spill(frames: Iterable[pl.DataFrame], urls: Callable[[pl.DataFrame], pl.Series]) -> SpilledFrames:
            spilled = SpilledFrames(file)
            for frame in _joined(frames):
                spilled.add(frame, request.folding.fold(urls(frame)).hash(_SEED) % count)
            return spilled

        written = spill(whole.written, lambda row: output_urls(row["destination"], row["output_key"]))
        outputs = spill(whole.outputs, lambda found: request.destination_urls(found["key"]))
        rows = spill(whole.rows, lambda row: request.output_urls(row["key"]))
        listing = spill(whole.listing, lambda image: request.output_urls(image["key"]))
        for number in range(count):
            yield Part(*(spilled.read(number) for spilled in (listing, outputs, written, rows)))


class SpilledFrames:
    """Frames in a temporary file, divided into parts.

    Parameters
    ----------
    file : SpillFile
        The file; the caller closes it.
    """

    def __init__(self, file: SpillFile) -> None:
        self._file = file
        self._pieces: defaultdict[int, list[Place]] = defaultdict(list)

    def add(self, frame: pl.DataFrame, numbers: pl.Series) -> None:
        """Store each row of a frame in the part of its number."""
        pieces = frame.with_columns(numbers.alias(_PART)).partition_by(_PART, as_dict=True, include_key=False)
        for (number,), piece in pieces.items():
            stored = io.BytesIO()
            piece.write_ipc_stream(stored, compression="lz4")
            self._pieces[number].append(self._file.append(stored.getbuffer()))

    def read(self, number: int) -> Iterator[pl.DataFrame]:
        """Yield the pieces of a part in the order in which they were added."""
        for piece in self._pieces[number]:
            yield pl.read_ipc_stream(io.BytesIO(self._file.read(piece)))


def _joined(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Join small frames to frames of at least `SPILLED_ROWS` rows; the last may be smaller."""
    waiting: list[pl.DataFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(each.height for each in waiting) >= SPILLED_ROWS:
            yield pl.concat(waiting)
            waiting = []
    if waiting:
        yield pl.concat(waiting)

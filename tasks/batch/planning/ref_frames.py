"""Listed objects as data frames (`to_frame`, `to_refs`), which polars compares and stores by the thousand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from infra.errors import ObjectNotFound
from infra.records import ImageRef
from tasks.media.key_hashes import chunks

SCHEMA = {"key": pl.String, "etag": pl.String, "size_bytes": pl.Int64, "archived": pl.Boolean}
OUTPUT_CHUNK = 65_536


def to_frame(refs: Sequence[ImageRef]) -> pl.DataFrame:
    """Return references as rows with the columns of `SCHEMA`."""
    columns = {name: [getattr(ref, name) for ref in refs] for name in SCHEMA}
    return pl.DataFrame(columns, schema=SCHEMA)


def to_refs(frame: pl.DataFrame) -> list[ImageRef]:
    """Return the rows of a frame as references."""
    return [ImageRef(key, etag, size, archived=archived) for key, etag, size, archived in frame.iter_rows()]


def output_frames(objects: Iterable[ImageRef]) -> Iterator[pl.DataFrame]:
    """Read the listing of a destination as a stream of frames; a missing destination is empty."""
    try:
        yield from map(to_frame, chunks(objects, OUTPUT_CHUNK))
    except ObjectNotFound:
        return

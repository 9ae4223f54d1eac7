"""The images that are to do, in a temporary file, and the shards they are cut in."""

from __future__ import annotations

import math
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl
import pyarrow as pa
import pyarrow.ipc

from infra.records import ImageRef

PIXELS_PER_BYTE = {"png": 0.7, "bmp": 0.33, "tif": 0.4, "tiff": 0.4, "gif": 1.5, "webp": 6.0}
"""Typical of photographs; anything else is taken for a JPEG."""
JPEG_PIXELS_PER_BYTE = 4.0
IMAGE_PIXELS = 50_000
"""What an image costs beside its pixels: a request there and back, headers, a row."""

_SCHEMA = pa.schema(
    [
        pa.field("key", pa.large_string()),
        pa.field("etag", pa.large_string()),
        pa.field("size_bytes", pa.int64()),
        pa.field("again", pa.bool_()),
    ]
)


@dataclass(frozen=True, slots=True)
class Shard:
    """The images that one Dask task derains; they are committed together."""

    index: int
    refs: tuple[ImageRef, ...]
    replace: bool
    """Whether its images have rows already, which a commit is to replace; true of all of them or of none."""


def estimated_pixels(ref: ImageRef) -> int:
    """Estimate what an image costs, in pixels, without opening it."""
    suffix = ref.key.rpartition(".")[2].lower()
    return IMAGE_PIXELS + int(ref.size_bytes * PIXELS_PER_BYTE.get(suffix, JPEG_PIXELS_PER_BYTE))


class Pending:
    """References in an unnamed temporary file: it takes no memory, and none is left behind by a crash."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="derain-plan-")  # noqa: SIM115 - closed with the plan
        self._close = weakref.finalize(self, self._file.close)
        options = pyarrow.ipc.IpcWriteOptions(compression="lz4")
        self._writer = pyarrow.ipc.new_file(self._file, _SCHEMA, options=options)
        self._reader: pyarrow.ipc.RecordBatchFileReader | None = None

    def append(self, rows: pl.DataFrame) -> None:
        """Add rows with key, etag, size_bytes and again."""
        for batch in rows.select(_SCHEMA.names).to_arrow(compat_level=pl.CompatLevel.oldest()).to_batches():
            self._writer.write_batch(batch.cast(_SCHEMA))

    def refs(self) -> Iterator[tuple[ImageRef, bool]]:
        """Stream the references in the order they came, with whether they are to do again.

        The first call ends the writing.
        """
        if self._reader is None:
            self._writer.close()
            self._reader = pyarrow.ipc.open_file(self._file)
        for number in range(self._reader.num_record_batches):
            keys, etags, sizes, again = (
                column.to_pylist() for column in self._reader.get_batch(number).columns
            )
            yield from zip(map(ImageRef, keys, etags, sizes), again, strict=True)

    def close(self) -> None:
        """Give the disk space back."""
        self._close()


@dataclass(slots=True)
class _Filling:
    """A shard that is being filled."""

    refs: list[ImageRef] = field(default_factory=list)
    pixels: int = 0

    def add(self, ref: ImageRef) -> None:
        self.refs.append(ref)
        self.pixels += estimated_pixels(ref)


def cut(refs: Iterator[tuple[ImageRef, bool]], max_images: int, shard_pixels: float) -> Iterator[Shard]:
    """Cut a stream in shards; a shard is full at `max_images` or once it reaches `shard_pixels`."""
    filling = {False: _Filling(), True: _Filling()}
    index = 0
    for ref, again in refs:
        part = filling[again]
        part.add(ref)
        if len(part.refs) >= max_images or part.pixels >= shard_pixels:
            yield Shard(index, tuple(part.refs), again)
            index, filling[again] = index + 1, _Filling()
    for again, part in filling.items():
        if part.refs:
            yield Shard(index, tuple(part.refs), again)
            index += 1


def even_pixels(images: int, pixels: int, max_images: int, max_pixels: int) -> float:
    """Give the pixels a shard aims at so that all cost about the same: as few shards as the limits allow."""
    shards = max(math.ceil(images / max_images), math.ceil(pixels / max_pixels), 1)
    return pixels / shards

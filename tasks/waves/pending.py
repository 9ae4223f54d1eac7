"""Pending images in a temporary file (`Pending`), and their division into shards (`cut`)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from infra.records import ImageRef
from infra.storage.spill import Place, SpillFile
from tasks.waves.stage import Shard

PIXELS_PER_BYTE = {"png": 0.7, "bmp": 0.33, "tif": 0.4, "tiff": 0.4, "gif": 1.5, "webp": 6.0}
"""Typical pixels per byte of photographs, by suffix; any other suffix counts as JPEG."""
JPEG_PIXELS_PER_BYTE = 4.0
LEAST_SHARD_PIXELS = 500_000
"""Minimum number of pixels per shard, a fraction of a second of work; smaller shards cost more than they gain."""
IMAGE_PIXELS = 50_000
"""Fixed cost of an image in pixels: requests, headers, a row."""


def estimated_pixels(ref: ImageRef) -> int:
    """Estimate the cost of an image, in pixels, without opening it."""
    suffix = ref.key.rpartition(".")[2].lower()
    return IMAGE_PIXELS + int(ref.size_bytes * PIXELS_PER_BYTE.get(suffix, JPEG_PIXELS_PER_BYTE))


class Pending:
    """References in an unnamed temporary file, which takes no memory and does not survive a crash.

    The file has one block of JSON per chunk. Arrow would read it in its own threads, which may still hold a part of
    it when the interpreter exits and then abort the process.
    """

    def __init__(self) -> None:
        self._file = SpillFile()
        self._chunks: list[Place] = []

    def append(self, refs: Sequence[ImageRef], has_row: Sequence[bool]) -> None:
        """Append references, each with a flag that says whether it replaces an existing row."""
        rows = [(ref.key, ref.etag, ref.size_bytes, ref.archived) for ref in refs]
        self._chunks.append(self._file.append(json.dumps([rows, list(has_row)]).encode()))

    def refs(self) -> Iterator[tuple[ImageRef, bool]]:
        """Yield the references in order, each with a flag that says whether it replaces an existing row."""
        for chunk in self._chunks:
            rows, has_row = json.loads(self._file.read(chunk))
            refs = (ImageRef(key, etag, size, archived=archived) for key, etag, size, archived in rows)
            yield from zip(refs, has_row, strict=True)

    def close(self) -> None:
        """Free the disk space."""
        self._file.close()


@dataclass(slots=True)
class _Filling:
    """A shard under construction."""

    refs: list[ImageRef] = field(default_factory=list)
    pixels: int = 0

    def add(self, ref: ImageRef) -> None:
        self.refs.append(ref)
        self.pixels += estimated_pixels(ref)


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """The largest size of shards, and the number of workers that share them."""

    max_images: int
    max_pixels: int
    """Largest estimated cost of a shard in pixels, give or take one image."""
    workers: int = 1

    def pixels(self, left: int) -> float:
        """Return the target size of the next shard when this many pixels are left.

        Shards shrink towards the end so that all workers finish at about the same time. This is guided
        self-scheduling (Polychronopoulos and Kuck, 1987) with half of each worker's share of the remaining pixels.
        """
        return min(self.max_pixels, max(left / (2 * self.workers), LEAST_SHARD_PIXELS))


def cut(refs: Iterator[tuple[ImageRef, bool]], pixels: int, limits: ShardLimits) -> Iterator[Shard[ImageRef]]:
    """Divide a stream of references with this many pixels in total into shards."""
    filling = {False: _Filling(), True: _Filling()}
    index = 0
    for ref, has_row in refs:
        part = filling[has_row]
        part.add(ref)
        if len(part.refs) >= limits.max_images or part.pixels >= limits.pixels(pixels):
            yield Shard(index, tuple(part.refs), has_row)
            pixels -= part.pixels
            index, filling[has_row] = index + 1, _Filling()
    for has_row, part in filling.items():
        if part.refs:
            yield Shard(index, tuple(part.refs), has_row)
            index += 1

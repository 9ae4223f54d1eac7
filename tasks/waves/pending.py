"""Pending images in a temporary file, and the shards they are cut into."""

from __future__ import annotations

import json
import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from infra.records import ImageRef
from tasks.waves.stage import Shard

PIXELS_PER_BYTE = {"png": 0.7, "bmp": 0.33, "tif": 0.4, "tiff": 0.4, "gif": 1.5, "webp": 6.0}
"""Typical of photographs; any other suffix counts as JPEG."""
JPEG_PIXELS_PER_BYTE = 4.0
LEAST_SHARD_PIXELS = 500_000
"""Smaller shards would spend more time on their way than they gain; it is a fraction of a second of work."""
IMAGE_PIXELS = 50_000
"""What an image costs apart from its pixels: requests, headers, a row."""


def estimated_pixels(ref: ImageRef) -> int:
    """Estimate what an image costs, in pixels, without opening it."""
    suffix = ref.key.rpartition(".")[2].lower()
    return IMAGE_PIXELS + int(ref.size_bytes * PIXELS_PER_BYTE.get(suffix, JPEG_PIXELS_PER_BYTE))


class Pending:
    """References in an unnamed temporary file: it takes no memory, and none is left behind by a crash.

    One line of JSON a chunk. Arrow would read such a file in threads of its own, which may still hold a piece of
    it when the interpreter ends, and then abort the process.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="derain-plan-")  # noqa: SIM115 - closed with the plan
        self._close = weakref.finalize(self, self._file.close)

    def append(self, refs: Sequence[ImageRef], again: Sequence[bool]) -> None:
        """Add references, with whether each is to do again; none while they are being read."""
        rows = [(ref.key, ref.etag, ref.size_bytes, ref.archived) for ref in refs]
        self._file.seek(0, os.SEEK_END)
        self._file.write(json.dumps([rows, list(again)]).encode() + b"\n")

    def refs(self) -> Iterator[tuple[ImageRef, bool]]:
        """Stream the references in the order they came, with whether they are to do again."""
        offset = 0
        while True:
            self._file.seek(offset)  # another stream may have read since
            line = self._file.readline()
            if not line:
                return
            offset += len(line)
            rows, again = json.loads(line)
            refs = (ImageRef(key, etag, size, archived=archived) for key, etag, size, archived in rows)
            yield from zip(refs, again, strict=True)

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


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """How large shards may be, and how many workers share them."""

    max_images: int
    max_pixels: int
    """What a shard may cost, by estimate, give or take one image."""
    workers: int = 1

    def pixels(self, left: int) -> float:
        """Return what the next shard aims at, when so many pixels are left.

        Large ones first, at the end small ones, so that all workers end at about the same time: guided
        self-scheduling (Polychronopoulos and Kuck, 1987), each time half of every worker's share of what is left.
        """
        return min(self.max_pixels, max(left / (2 * self.workers), LEAST_SHARD_PIXELS))


def cut(refs: Iterator[tuple[ImageRef, bool]], pixels: int, limits: ShardLimits) -> Iterator[Shard[ImageRef]]:
    """Cut a stream of so many pixels in shards."""
    filling = {False: _Filling(), True: _Filling()}
    index = 0
    for ref, again in refs:
        part = filling[again]
        part.add(ref)
        if len(part.refs) >= limits.max_images or part.pixels >= limits.pixels(pixels):
            yield Shard(index, tuple(part.refs), again)
            pixels -= part.pixels
            index, filling[again] = index + 1, _Filling()
    for again, part in filling.items():
        if part.refs:
            yield Shard(index, tuple(part.refs), again)
            index += 1

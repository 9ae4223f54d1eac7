"""Blocks of bytes in an unnamed temporary file (`SpillFile`), for what would not fit in memory.

The file does not survive a crash: its disk space is free as soon as the process ends.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from infra.errors import StorageError, one_line

Place = tuple[int, int]
"""Offset and size of a block."""


class SpillFile:
    """Blocks are appended, and read in any order. Use it in a `with` block, or close it.

    Raises
    ------
    StorageError
        The folder for temporary files is full or cannot be written; the message names it and the way out.
    """

    def __init__(self) -> None:
        with _named_folder():
            # Unbuffered, because a buffer that did not fit on the disk would be written again by `close`.
            self._file = tempfile.TemporaryFile(buffering=0, prefix="derain-plan-")  # noqa: SIM115
        self._size = 0
        self.close = weakref.finalize(self, self._file.close)
        """Frees the disk space."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, block: bytes | memoryview) -> Place:
        """Write a block; return its place."""
        place = (self._size, len(block))
        with _named_folder():
            self._file.seek(self._size)  # a reader may have moved the position
            left = memoryview(block)
            while left:
                left = left[self._file.write(left) :]
        self._size += len(block)
        return place

    def read(self, place: Place) -> bytes:
        """Return the block at a place."""
        offset, size = place
        block = bytearray()
        with _named_folder():
            self._file.seek(offset)
            while len(block) < size and (piece := self._file.read(size - len(block))):
                block += piece
        if len(block) < size:
            raise StorageError("a temporary file lost its end: run again")
        return bytes(block)


@contextmanager
def _named_folder() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or "temporary files"
        reason = error.strerror or one_line(error)
        raise StorageError(
            f"{folder}: {reason}; set TMPDIR to a folder with free space, and run again"
        ) from error

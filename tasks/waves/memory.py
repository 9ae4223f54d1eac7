"""The memory of a machine, which its worker processes share: large images wait for one another.

Each worker may spend its share on an image without asking. A larger image takes a lock that all of this user's
workers on the machine have in common, so no more than one exceeds its share at any time. The kernel frees the
lock of a worker that dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dask.system import CPU_COUNT
from distributed.system import MEMORY_LIMIT

from infra.settings import read_worker_settings

logger = logging.getLogger(__name__)

BYTES_PER_PIXEL = 20
"""What decoding, deraining and encoding hold for each pixel at their peak; measured, with alpha."""
BASE_BYTES = 800_000_000
"""What a worker needs whatever the image: libraries, network, activations of a tile."""


@contextmanager
def reserved(pixels: int) -> Iterator[None]:
    """Hold the memory of an image of this many pixels, once no other large one holds any.

    Parameters
    ----------
    pixels : int
        Height times width.
    """
    if pixels * BYTES_PER_PIXEL <= share_bytes():
        yield
        return
    descriptor = _open_lock()
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def share_bytes() -> int:
    """Return what one worker may spend on an image: `DERAIN_IMAGE_BYTES`, or its part of the machine's memory."""
    chosen = read_worker_settings().image_bytes
    return chosen if chosen is not None else max(MEMORY_LIMIT // CPU_COUNT - BASE_BYTES, BASE_BYTES // 4)


def _open_lock() -> int | None:
    """Open this user's lock file; None, with a warning, where somebody else has put something in its place."""
    path = Path(tempfile.gettempdir(), f"derain-large-images-{os.getuid()}.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        logger.warning("large images do not wait for one another: %s", error)
        return None
    if os.fstat(descriptor).st_uid != os.getuid():
        logger.warning("large images do not wait for one another: %s belongs to another user", path)
        os.close(descriptor)
        return None
    return descriptor

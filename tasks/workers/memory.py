"""Sharing of memory between the worker processes of a machine (`reserved`): large images wait for one another.

Each worker may use its share for an image without a lock. A larger image takes a lock that all of this user's
workers on the machine share, so at most one worker exceeds its share at any time. The kernel releases the lock of
a worker that dies.
"""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.settings import read_worker_settings

logger = logging.getLogger(__name__)

BYTES_PER_PIXEL = 20
"""Peak bytes per pixel of decoding, deraining and encoding; measured, with alpha."""
BASE_BYTES = 800_000_000
"""Bytes that a worker needs for any image: libraries, network, activations of a tile."""


@contextmanager
def reserved(pixels: int) -> Iterator[None]:
    """Reserve the memory of an image of this many pixels; a large image waits for any other large one.

    Parameters
    ----------
    pixels : int
        Height times width.
    """
    if not needs_lock(pixels):
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


def needs_lock(pixels: int) -> bool:
    """Return whether an image of this many pixels takes more than the share of a worker."""
    return pixels * BYTES_PER_PIXEL > share_bytes()


def share_bytes() -> int:
    """Return the bytes that one worker may use for an image: `DERAIN_IMAGE_BYTES`, or its share of the memory."""
    chosen = read_worker_settings().image_bytes
    if chosen is not None:
        return chosen
    from dask.system import CPU_COUNT  # these imports take a second: only if an image is derained
    from distributed.system import MEMORY_LIMIT

    return int(max(MEMORY_LIMIT // CPU_COUNT - BASE_BYTES, BASE_BYTES // 4))


def _open_lock() -> int | None:
    """Open this user's lock file; log a warning and return None if something else exists at its path."""
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

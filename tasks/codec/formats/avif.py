"""Checks of an AVIF before it is read (`require_readable`)."""

from __future__ import annotations

import struct

from tasks.codec.pictures import not_supported

HEAD_BYTES = 4096
"""Number of bytes at the beginning of a file that contain the boxes describing the picture."""
_SIZE_BOX = b"ispe"
_LONGEST_SIDE = 32_768
"""Limit of libavif in pixels."""


def require_readable(data: bytes) -> None:
    """Reject an AVIF that is larger than libavif reads, which it reports as a fault of the file.

    Raises
    ------
    ImageRejected
        If one side is longer than the limit.
    """
    head, at = data[:HEAD_BYTES], -1
    while (at := head.find(_SIZE_BOX, at + 1)) >= 0 and at + 16 <= len(head):
        if max(struct.unpack_from(">II", head, at + 8)) > _LONGEST_SIDE:
            raise not_supported(f"AVIF of more than {_LONGEST_SIDE:,} pixels a side")

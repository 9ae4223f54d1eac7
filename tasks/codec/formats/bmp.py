"""The colour profile of a BMP (`profile_of`), and a writer with alpha (`write_bmp_with_alpha`).

The version 4 header of the writer names the alpha channel.

Pillow writes the fourth channel of a BMP under a header that does not name it. Readers, including Pillow, then
treat the picture as opaque, so transparency would be lost.
"""

from __future__ import annotations

import struct

import numpy as np

from models.images import RgbImage
from tasks.codec.pictures import INCHES_PER_METRE

_HEADER_BYTES = 14 + 108
_BITFIELDS = 3
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF, 0xFF000000)  # red, green, blue, alpha
_SRGB = b"BGRs"
_VERSION_5, _EMBEDDED = 124, b"DEBM"


def profile_of(data: bytes) -> bytes | None:
    """Return the ICC profile that a version 5 header embeds, which Pillow does not read; None if there is none."""
    if len(data) < 14 + _VERSION_5:
        return None
    size, space = struct.unpack_from("<I52x4s", data, 14)
    start, length = struct.unpack_from("<II", data, 14 + 112)
    profile = data[14 + start : 14 + start + length]
    return profile if (size, space) == (_VERSION_5, _EMBEDDED) and profile else None


def write_bmp_with_alpha(rgba: RgbImage, dpi: tuple[float, float] | None) -> bytes:
    """Return a BMP of (H, W, 4) samples with 32 bits per pixel."""
    height, width = rgba.shape[:2]
    size = rgba.size
    across, down = (round(dots * INCHES_PER_METRE) for dots in dpi or (96, 96))
    head = struct.pack("<2sIII", b"BM", _HEADER_BYTES + size, 0, _HEADER_BYTES)
    layout = struct.pack("<IiiHHIIiiII", 108, width, height, 1, 32, _BITFIELDS, size, across, down, 0, 0)
    colours = struct.pack("<4I4s", *_MASKS, _SRGB).ljust(68, b"\0")
    rows = np.ascontiguousarray(rgba[::-1, :, [2, 1, 0, 3]])  # bottom row first, BGRA
    return b"".join([head, layout, colours, rows.tobytes()])

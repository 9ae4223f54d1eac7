"""Writer of PNG files of every colour type, depth and interlacing, made from the standard alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np

from tests.support.samples.images import png_chunk

CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def png_file(
    samples: np.ndarray, colour_type: int, depth: int, *, interlaced: bool, chunks: bytes = b""
) -> bytes:
    """Return a PNG of (H, W, C) samples; `chunks` are placed before the data."""
    height, width, _ = samples.shape
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, int(interlaced))
    steps = ADAM7 if interlaced else ((0, 0, 1, 1),)
    parts = (samples[top::down, left::across] for top, left, down, across in steps)
    rows = b"".join(_rows(part, depth) for part in parts)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            chunks,
            png_chunk(b"IDAT", zlib.compress(rows)),
            png_chunk(b"IEND", b""),
        ]
    )


def _rows(part: np.ndarray, depth: int) -> bytes:
    """Return the rows of a pass, each after the filter byte "none"; an empty pass has no rows."""
    if not part.size:
        return b""
    flat = part.reshape(len(part), -1)
    if depth == 16:
        packed = flat.astype(">u2").view(np.uint8)
    elif depth == 8:
        packed = flat.astype(np.uint8)
    else:
        bits = np.unpackbits(flat.astype(np.uint8)[..., None], axis=2)[..., -depth:]
        packed = np.packbits(bits.reshape(len(flat), -1), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)

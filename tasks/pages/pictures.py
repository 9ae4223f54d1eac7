"""Pictures embedded in a page as data URIs (`data_uri`), no larger than the page shows them."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

LONGEST_SIDE = 960
"""Longest side in pixels; larger pictures are scaled down."""
JPEG_QUALITY = 85


def shrunk(rgb: np.ndarray) -> Image.Image:
    """Return a picture of (H, W, 3) uint8 pixels, scaled down to the largest size that a page shows."""
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return picture


def side_by_side(left: np.ndarray, right: np.ndarray, longest_side: int) -> Image.Image:
    """Return two pictures of one size, (H, W, 3) uint8, next to each other, each scaled down to a longest side."""
    halves = [Image.fromarray(np.ascontiguousarray(half)) for half in (left, right)]
    for half in halves:
        half.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    width, height = halves[0].size
    joined = Image.new("RGB", (2 * width, height))
    for number, half in enumerate(halves):
        joined.paste(half, (number * width, 0))
    return joined


def data_uri(picture: Image.Image) -> str:
    """Encode a picture as a data URI, in JPEG."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode("ascii")

"""Pictures inside a page: no larger than it shows them, written into their addresses."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO

import numpy as np
from PIL import Image

LONGEST_SIDE = 960
"""In pixels; what is larger is shown smaller."""
JPEG_QUALITY = 85


def shrunk(rgb: np.ndarray) -> Image.Image:
    """Make a picture no larger than a page shows, of (H, W, 3) uint8."""
    picture = Image.fromarray(np.ascontiguousarray(rgb))
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    return picture


def data_uri(picture: Image.Image) -> str:
    """Write a picture into an address, as JPEG."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + b64encode(buffer.getvalue()).decode("ascii")

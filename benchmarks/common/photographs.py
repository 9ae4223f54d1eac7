"""Functions that list, read and crop photographs in folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from models.images import RgbImage

SUFFIXES = {".jpg", ".jpeg", ".png"}


def images_in(folder: Path) -> list[Path]:
    """List the photographs of a folder by name; end the program if there are none."""
    found = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{folder}: no photographs (JPEG or PNG) here; is --data the right folder?")
    return found


def read(path: Path) -> RgbImage:
    """Read a photograph, (H, W, 3) uint8."""
    with Image.open(path) as image:
        pixels: RgbImage = np.asarray(image.convert("RGB"))
    return pixels


def middle(pixels: RgbImage, side: int) -> RgbImage:
    """Crop a photograph to its middle, at most `side` pixels high and wide."""
    top, left = (max(0, (extent - side) // 2) for extent in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]

"""Small crops of photographs that scikit-image ships, and a filter that smooths them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from models.images import to_floats

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")


def photograph(name: str, side: int = 192) -> np.ndarray:
    """Return the centre of a photograph, (side, side, 3) uint8 RGB."""
    path = next(iter(sorted((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))))
    with Image.open(path) as image:
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return np.asarray(image.convert("RGB").crop((left, top, left + side, top + side)))


def as_floats(pixels: np.ndarray) -> Tensor:
    """Convert (H, W, 3) uint8 to (3, H, W) floats in [0, 1]."""
    return to_floats(pixels)


def median(rainy: Tensor, side: int = 5) -> Tensor:
    """Return the median over `side` x `side` pixels, which removes thin lines."""
    edge = side // 2
    windows = F.pad(rainy, (edge,) * 4, mode="replicate").unfold(2, side, 1).unfold(3, side, 1)
    return windows.flatten(4).median(-1).values

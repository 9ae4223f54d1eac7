"""Recognition of copies of photographs (`SeenPhotographs`), even if cropped, scaled, rained on or re-encoded."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from imagehash import phash
from PIL import Image as PillowImage

from models.images import RgbImage

NEAR = 10
"""Largest number of differing bits, out of 64, between two hashes of one photograph.

Measured on 209 photographs (150 of BSDS500, 59 of real rain): different photographs differ by at least 14 bits
(21,736 pairs). Copies of 80 of them as JPEG of quality 30, at half the size or under streaks differ by at most 6;
copies that are 30 % brighter, or cropped by 5 % on each side, by at most 10 bits in 99 of 100 cases. Copies
cropped by 10 % on each side are recognised in 61 of 100 cases, those cropped by 20 % or mirrored hardly ever.
"""


class SeenPhotographs:
    """An index of photographs by perceptual hash (the DCT hash of `imagehash`)."""

    def __init__(self) -> None:
        self._keys: list[str] = []
        self._hashes: list[np.uint64] = []

    def add(self, key: str, photograph: RgbImage) -> None:
        """Add a photograph, (H, W, 3) uint8."""
        self._keys.append(key)
        self._hashes.append(_hash_of(photograph))

    def most_similar(self, photograph: RgbImage) -> str | None:
        """Return the key of the most similar photograph that shows the same scene; None if there is none."""
        if not self._keys:
            return None
        distances: npt.NDArray[np.uint8] = np.bitwise_count(np.array(self._hashes) ^ _hash_of(photograph))
        nearest = int(distances.argmin())
        return self._keys[nearest] if distances[nearest] <= NEAR else None


def _hash_of(photograph: RgbImage) -> np.uint64:
    bits = phash(PillowImage.fromarray(photograph)).hash
    return np.uint64(np.packbits(bits).view(">u8")[0])

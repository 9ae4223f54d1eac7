"""The data types of the image codec: a decoded picture, the form it came in, and why an image is rejected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from infra.errors import ItemRejected

Pixels = npt.NDArray[np.uint8]
Mode = Literal["L", "LA", "RGB", "RGBA"]


class ImageRejected(ItemRejected):
    """A fault of the image itself, not of the world: it becomes a row, and retrying cannot help.

    Parameters
    ----------
    reason
        A few plain words for the catalog and the report, such as "truncated JPEG".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class PictureForm:
    """What an output needs from its source beside pixels."""

    format: str
    """The format that the content is in, whatever its name says: JPEG, PNG, WEBP, TIFF, BMP, GIF, ..."""
    mode: Mode
    """The samples to go back to: eight bits, grey or colour, with or without alpha."""
    icc_profile: bytes | None = None
    """Only a profile that describes `mode`: that of a CMYK source does not fit its RGB output."""
    exif: bytes | None = None
    """A TIFF-style block without orientation and thumbnail, and without the leading `Exif`."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical, after orientation."""
    subsampling: int | None = None
    """Chroma of a JPEG as Pillow numbers it: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0; None for all others."""
    progressive: bool = False
    lossless: bool = False
    """A WebP whose pixels are stored exactly."""
    compressed: bool = False
    """A TIFF that is not raw."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image: upright, eight bits a sample, always RGB for the network."""

    rgb: Pixels
    """(H, W, 3); three equal channels for a grey source."""
    alpha: Pixels | None
    """(H, W), or None where the source has no transparency."""
    form: PictureForm

    @property
    def height(self) -> int:
        """Rows of the upright picture."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Columns of the upright picture."""
        return int(self.rgb.shape[1])

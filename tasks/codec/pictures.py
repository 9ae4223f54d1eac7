"""The data types of the image codec: a decoded picture, the form it came in, and why an image is rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.errors import ItemRejected
from models.images import RgbImage

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


def not_supported(what: str) -> ImageRejected:
    """Return the rejection of a file that is valid, and of a kind that is not read or not written."""
    return ImageRejected(f"not supported: {what}")


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a file holds besides its pixels; writers write what their format can hold."""

    icc_profile: bytes | None = None
    """Only a profile that describes the samples: that of a CMYK source does not fit its RGB output."""
    exif: bytes | None = None
    """A TIFF-style block without orientation and thumbnail, and without the leading `Exif`."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical, after orientation."""
    xmp: bytes | None = None
    """A packet that is true of the upright picture."""
    iptc: bytes | None = None
    comment: bytes | None = None
    """The comment of a JPEG or GIF."""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Chunks that only a PNG holds, name and body: how to show its colours, and texts."""
    tiff_tags: Mapping[int, tuple[int, Any]] = field(default_factory=dict)
    """Tags that only a TIFF holds, type and value: where an orthophoto lies."""


@dataclass(frozen=True, slots=True)
class PictureForm:
    """What an output needs from its source besides pixels."""

    format: str
    """The format that the content is in, whatever its name says: JPEG, PNG, WEBP, TIFF, BMP, GIF, ..."""
    mode: Mode
    """The samples to go back to: eight bits, grey or colour, with or without alpha."""
    metadata: Metadata = Metadata()
    dropped: tuple[str, ...] = ()
    """What the file held besides and no output can hold, in plain words."""
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

    rgb: RgbImage
    """(H, W, 3); three equal channels for a grey source."""
    alpha: RgbImage | None
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

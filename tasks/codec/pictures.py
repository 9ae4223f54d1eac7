"""The data types of the image codec: a decoded picture, the form of its source, and the rejection of an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from infra.errors import ItemRejected
from models.images import RgbImage
from tasks.codec.conversion import way_out

Mode = Literal["L", "LA", "RGB", "RGBA"]

INCHES_PER_METRE = 1 / 0.0254


class ImageRejected(ItemRejected):
    """A fault of the image itself, not of storage or workers: it becomes a row, and a retry cannot help.

    Parameters
    ----------
    reason
        A few words for the catalog and the report, such as "truncated JPEG".
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def not_supported(what: str) -> ImageRejected:
    """Return the rejection of a valid file of an unsupported kind."""
    return ImageRejected(f"not supported: {what}")


def unsupported_photograph(kind: str) -> ImageRejected:
    """Return the rejection of a photograph of an unsupported kind, with advice on converting it in brackets."""
    return not_supported(f"{kind} ({way_out(kind)})")


@dataclass(frozen=True, slots=True)
class Metadata:
    """The contents of a file besides its pixels; writers keep what their format can hold."""

    icc_profile: bytes | None = None
    """ICC profile, if it describes the output; the profile of a CMYK source does not fit its RGB output."""
    exif: bytes | None = None
    """A TIFF-style block without orientation, thumbnail and the leading `Exif`."""
    dpi: tuple[float, float] | None = None
    """Horizontal and vertical dots per inch, after orientation."""
    xmp: bytes | None = None
    """An XMP packet that is correct for the upright picture."""
    iptc: bytes | None = None
    comment: bytes | None = None
    """The comment of a JPEG or GIF."""
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    """Name and body of chunks that only a PNG holds: colour description and texts."""
    tiff_tags: Mapping[int, tuple[int, Any]] = field(default_factory=dict)
    """Type and value of tags that only a TIFF holds: the georeference of an orthophoto."""


@dataclass(frozen=True, slots=True)
class PictureForm:
    """The properties of a source, besides pixels, that its output needs."""

    format: str
    """The format of the content, independent of the file name: JPEG, PNG, WEBP, TIFF, BMP, GIF, ..."""
    mode: Mode
    """Mode of the output's samples: eight bits, grey or colour, with or without alpha."""
    metadata: Metadata = Metadata()
    dropped: tuple[str, ...] = ()
    """Further contents of the file that no output can hold, in words."""
    subsampling: int | None = None
    """Chroma subsampling of a JPEG in Pillow's numbering: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0; None otherwise."""
    progressive: bool = False
    lossless: bool = False
    """Whether a WebP is lossless."""
    compressed: bool = False
    """Whether a TIFF is compressed."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image: upright, eight bits per sample, always RGB for the network."""

    rgb: RgbImage
    """(H, W, 3); three equal channels for a grey source."""
    alpha: RgbImage | None
    """(H, W), or None if the source has no transparency."""
    form: PictureForm

    @property
    def height(self) -> int:
        """Number of rows of the upright picture."""
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        """Number of columns of the upright picture."""
        return int(self.rgb.shape[1])

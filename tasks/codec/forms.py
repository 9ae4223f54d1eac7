"""The form of a file (`describe`): its metadata besides pixels, and its orientation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, SupportsFloat, cast

from PIL import Image, JpegImagePlugin
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from tasks.codec.formats.png_file import Chunk
from tasks.codec.metadata.exif import Upright, block_of_tiff, make_upright
from tasks.codec.metadata.xmp import names_appended_data, names_more_data, upright_xmp
from tasks.codec.pictures import Metadata, Mode, PictureForm

_COLOUR_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
_TURNED, _QUARTER_TURNS = range(2, 9), range(5, 9)
_LARGEST_DPI = 65_535.0  # the limit of JPEG
IPTC_RESOURCE = 0x0404
"""Number of the Photoshop resource that holds IPTC metadata."""
_IPTC_TAG = 33723
_GEOREFERENCE_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 42112, 42113)
"""Tags of GeoTIFF and of GDAL."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A file whose pixels can be loaded, and findings that Pillow does not report."""

    image: ImageFile
    data: bytes
    png_chunks: tuple[Chunk, ...] = ()
    """Chunks that a PNG output keeps unchanged."""
    dropped: tuple[str, ...] = ()
    """Contents that no output can hold, in words."""


def describe(opened: Opened, mode: str, tiff_orientation: int | None) -> tuple[int, PictureForm]:
    """Return the orientation that is still to be applied, and the form of the output.

    Parameters
    ----------
    opened
        An opened file whose image is loaded, because some formats store metadata after the pixels.
    mode
        The plain mode to which the pixels were converted.
    tiff_orientation
        The orientation of a TIFF, if it has one, which loading has already applied.
    """
    image = opened.image
    upright = _upright(image, has_orientation=tiff_orientation is not None)
    metadata, lost = _metadata(opened, mode, upright, is_turned=tiff_orientation in _TURNED)
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    return upright.orientation, PictureForm(
        format=cast(str, image.format),
        mode=cast(Mode, mode),
        metadata=metadata,
        dropped=(*opened.dropped, *lost),
        subsampling=JpegImagePlugin.get_sampling(image) if is_jpeg and mode == "RGB" else None,
        progressive=bool(image.info.get("progressive")),
        lossless=image.format == "WEBP" and _is_lossless_webp(opened.data),
        compressed=image.format == "TIFF" and image.info.get("compression") != "raw",
    )


def _metadata(
    opened: Opened, mode: str, upright: Upright, *, is_turned: bool
) -> tuple[Metadata, tuple[str, ...]]:
    info = opened.image.info
    profile, has_profile = _fitting_profile(info.get("icc_profile"), mode), "icc_profile" in info
    packet = info.get("xmp")
    xmp = packet if isinstance(packet, bytes) and not names_appended_data(packet) else None
    if xmp is not None and upright.has_orientation:
        xmp = upright_xmp(xmp)
    places = _tag_positions(opened.image)
    lost = {
        "ICC profile": has_profile and profile is None,
        "EXIF": upright.is_damaged,
        "XMP": isinstance(packet, bytes) and xmp is None and names_more_data(packet),
        "georeference": is_turned and bool(places),
    }
    metadata = Metadata(
        icc_profile=profile,
        exif=upright.block,
        dpi=_dpi(info.get("dpi"), upright.orientation in _QUARTER_TURNS),
        xmp=xmp,
        iptc=_iptc(opened.image),
        comment=_comment(opened.image),
        png_chunks=opened.png_chunks,
        tiff_tags={} if is_turned else places,
    )
    return metadata, tuple(name for name, is_lost in lost.items() if is_lost)


def _upright(image: ImageFile, *, has_orientation: bool) -> Upright:
    if image.format == "TIFF":
        # Pillow has already applied the orientation.
        return Upright(1, _exif_of_tiff(image), has_orientation=has_orientation)
    raw = image.info.get("exif")
    if not isinstance(raw, bytes):
        raw = _exif_in_text(image.info.get("Raw profile type exif"))
    return make_upright(raw) if raw else Upright(1, None)


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    try:
        return block_of_tiff(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - odd tags make Pillow raise anything and do not justify a rejection
        return None


def _exif_in_text(text: object) -> bytes | None:
    # ImageMagick's format from before PNG had an EXIF chunk: a title, a length, then hexadecimal digits.
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else None
    except ValueError:
        return None


def _fitting_profile(profile: object, mode: str) -> bytes | None:
    if isinstance(profile, bytes) and profile[16:20] == _COLOUR_SPACES[mode]:
        return profile
    return None


def _iptc(image: ImageFile) -> bytes | None:
    if isinstance(image, TiffImageFile):
        value = image.tag_v2.get(_IPTC_TAG)
    else:
        value = image.info.get("photoshop", {}).get(IPTC_RESOURCE)
    return value if isinstance(value, bytes) and value else None


def _comment(image: ImageFile) -> bytes | None:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        value: object = b"\n".join(body for name, body in image.applist if name == "COM")
    else:
        value = image.info.get("comment") if image.format == "GIF" else None
    return value if isinstance(value, bytes) and value else None


def _tag_positions(image: ImageFile) -> dict[int, tuple[int, Any]]:
    if not isinstance(image, TiffImageFile):
        return {}
    page = image.tag_v2
    return {tag: (page.tagtype[tag], page[tag]) for tag in _GEOREFERENCE_TAGS if tag in page}


def _dpi(dpi: Iterable[SupportsFloat] | None, swapped: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(dots) for dots in dpi or ())
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    # A TIFF without a resolution is read as 1.
    if not all(math.isfinite(dots) and 1 < dots <= _LARGEST_DPI for dots in (across, down)):
        return None
    return (down, across) if swapped else (across, down)


def _is_lossless_webp(data: bytes) -> bool:
    position = 12
    while position + 8 <= len(data):
        name = data[position : position + 4]
        if name in (b"VP8L", b"VP8 "):
            return name == b"VP8L"
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + size + size % 2
    return False

"""What is kept of a file beside its pixels, and how its picture lies."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import SupportsFloat, cast

from PIL import Image, JpegImagePlugin
from PIL.ImageFile import ImageFile

from tasks.codec.exif import Upright, block_of_tiff, make_upright
from tasks.codec.pictures import Mode, PictureForm

_COLOUR_SPACES = {"L": b"GRAY", "LA": b"GRAY", "RGB": b"RGB ", "RGBA": b"RGB "}
_QUARTER_TURNS = (5, 6, 7, 8)
_LARGEST_DPI = 65_535.0  # what JPEG can hold


def describe(image: ImageFile, data: bytes, mode: str) -> tuple[int, PictureForm]:
    """Return the orientation that is still to be applied, and the form to give the output.

    Parameters
    ----------
    image
        Loaded: some formats hold their metadata after the pixels.
    data
        The file itself.
    mode
        The plain mode that the pixels were brought to.
    """
    upright = _upright(image)
    is_jpeg = isinstance(image, JpegImagePlugin.JpegImageFile)
    return upright.orientation, PictureForm(
        format=cast(str, image.format),
        mode=cast(Mode, mode),
        icc_profile=_fitting_profile(image.info.get("icc_profile"), mode),
        exif=upright.block,
        dpi=_dpi(image.info.get("dpi"), upright.orientation in _QUARTER_TURNS),
        subsampling=JpegImagePlugin.get_sampling(image) if is_jpeg and mode == "RGB" else None,
        progressive=bool(image.info.get("progressive")),
        lossless=image.format == "WEBP" and _is_lossless_webp(data),
        compressed=image.format == "TIFF" and image.info.get("compression") != "raw",
    )


def _upright(image: ImageFile) -> Upright:
    if image.format == "TIFF":
        return Upright(1, _exif_of_tiff(image))  # Pillow has turned its pixels by now
    raw = image.info.get("exif")
    if not isinstance(raw, bytes):
        raw = _exif_in_text(image.info.get("Raw profile type exif"))
    return make_upright(raw) if raw else Upright(1, None)


def _exif_of_tiff(image: Image.Image) -> bytes | None:
    try:
        return block_of_tiff(image.getexif())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - odd tags make Pillow raise anything, and are no reason to reject
        return None


def _exif_in_text(text: object) -> bytes | None:
    # ImageMagick's way, from before PNG had a place for EXIF: a title, a length, then hexadecimal digits.
    try:
        return bytes.fromhex("".join(str(text).split("\n")[3:])) if text else None
    except ValueError:
        return None


def _fitting_profile(profile: object, mode: str) -> bytes | None:
    if isinstance(profile, bytes) and profile[16:20] == _COLOUR_SPACES[mode]:
        return profile
    return None


def _dpi(dpi: Iterable[SupportsFloat] | None, swapped: bool) -> tuple[float, float] | None:
    try:
        across, down = (float(dots) for dots in dpi or ())
    except (TypeError, ValueError, ZeroDivisionError, OverflowError):
        return None
    # 1 is what a TIFF without a resolution is read as.
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

"""The decoder of photographs (`decode`): raises `ImageRejected` for every fault of the image."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from tasks.codec.claims import describe_excess, require_plausible_size
from tasks.codec.formats.avif import require_readable
from tasks.codec.formats.bmp import profile_of
from tasks.codec.formats.jpeg2000 import metadata_of
from tasks.codec.formats.jpeg_file import END_OF_IMAGE, is_incomplete, parse_jpeg, require_supported
from tasks.codec.formats.png_file import apply_wide_key, lacks_rows, parse_png
from tasks.codec.formats.png_metadata import info_of, kept_chunks, lost_from_png
from tasks.codec.formats.tiff_file import describe_further_pages, is_truncated_tiff, open_tiff
from tasks.codec.forms import Opened, describe
from tasks.codec.metadata.appended import appended_to_jpeg, colour_codes_of_avif, kept_with_avif
from tasks.codec.normalising import to_plain_mode
from tasks.codec.pictures import ImageRejected, Picture, not_supported
from tasks.codec.sniff import identify
from tasks.codec.truncation import is_cut_short, lacks_codestream_end
from tasks.codec.unread import unread_layout

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_IMAGE_WIDTH, _IMAGE_LENGTH, _ORIENTATION = 256, 257, 274
_PILLOW_WARNINGS = r"PIL\."
_SILENCED = ("ignore", None, Warning, re.compile(_PILLOW_WARNINGS), 0)


def decode(data: bytes, max_pixels: int) -> Picture:
    """Decode one photograph, upright and in eight bits.

    Parameters
    ----------
    data
        The whole file; its format is detected from the content.
    max_pixels
        The limit against decompression bombs, checked on the header before pixels are decoded.

    Raises
    ------
    ImageRejected
        For every fault of the image, with a short reason.
    MemoryError
        If the machine has too little memory, which is not a fault of the image.
    """
    _silence_pillow()
    name = identify(data)
    try:
        return _read(data, name, max_pixels)
    except (ImageRejected, MemoryError):
        raise
    except Image.DecompressionBombError as fault:
        raise ImageRejected(f"more pixels than Pillow reads of a {name}") from fault
    except Exception as fault:
        layout = unread_layout(fault)
        if layout is not None:
            raise not_supported(layout) from fault
        # Flipped bits make readers raise anything: OSError, SyntaxError, struct.error, KeyError, ...
        kind = "truncated" if is_cut_short(data, name, fault) else "damaged"
        raise ImageRejected(f"{kind} {name}") from fault


def _read(data: bytes, name: str, max_pixels: int) -> Picture:
    opened = _OPENERS[name](data, max_pixels)
    image = opened.image
    tiff_orientation = _orientation_of_tiff(image)
    image.load()
    # In some formats, the true size is known only after decoding.
    _check_size(image.size, max_pixels)
    plain = to_plain_mode(image, data)
    upright, form = describe(opened, plain.mode, tiff_orientation)
    turned = plain.transpose(_TURNS[upright]) if upright in _TURNS else plain
    return Picture(*_split(turned), form)


def _orientation_of_tiff(image: ImageFile) -> int | None:
    """Return the orientation that loading a TIFF will apply; None if it has none, or is not a TIFF."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    orientation: int | None = image.tag_v2.get(_ORIENTATION)
    if orientation is None:
        image.getexif()[_ORIENTATION] = 1  # otherwise Pillow heeds the XMP packet, as few viewers do
    return orientation


def _open_jpeg(data: bytes, max_pixels: int) -> Opened:
    jpeg = parse_jpeg(data)
    require_supported(jpeg.frame)
    _check_size((jpeg.frame.width, jpeg.frame.height), max_pixels)
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data if jpeg.end else data + END_OF_IMAGE))
    _check_header(image, data, max_pixels)
    image.load()
    if is_incomplete(jpeg, data, image):
        raise ImageRejected("truncated JPEG")
    return Opened(image, data, dropped=appended_to_jpeg(jpeg, data))


def _open_png(data: bytes, max_pixels: int) -> Opened:
    png = parse_png(data)
    image = PngImagePlugin.PngImageFile(io.BytesIO(png.pixels))
    _check_header(image, data, max_pixels)
    image.load()
    if lacks_rows(png.pixels, image):
        raise ImageRejected("truncated PNG")
    apply_wide_key(png.pixels, image)
    image.info.update(info_of(png.ancillary))
    damaged = tuple(f"damaged {name}" for name in png.damaged)
    return Opened(image, data, kept_chunks(png.ancillary), (*damaged, *lost_from_png(png.ancillary)))


def _open_tiff(data: bytes, max_pixels: int) -> Opened:
    image = open_tiff(data)
    _check_header(image, data, max_pixels)
    further = describe_further_pages(image, data)
    if is_truncated_tiff(image, data):
        raise ImageRejected("truncated TIFF")
    # If the buffer exists already, the reader does not apply Pillow's process-wide size limit.
    stored = (image.tag_v2[_IMAGE_WIDTH], image.tag_v2[_IMAGE_LENGTH])  # as stored, before orientation
    image.im = Image.new(image.mode, stored).im
    return Opened(image, data, dropped=further)


def _open_avif(data: bytes, max_pixels: int) -> Opened:
    require_readable(data)
    opened = _open_plainly(AvifImagePlugin.AvifImageFile, data, max_pixels)
    return replace(opened, png_chunks=colour_codes_of_avif(data), dropped=kept_with_avif(data))


def _open_jpeg2000(data: bytes, max_pixels: int) -> Opened:
    if lacks_codestream_end(data):
        raise ImageRejected("truncated JPEG2000")
    opened = _open_plainly(Jpeg2KImagePlugin.Jpeg2KImageFile, data, max_pixels)
    metadata = metadata_of(data)
    opened.image.info.update(metadata.info)
    return replace(opened, dropped=metadata.lost)


def _open_bmp(data: bytes, max_pixels: int) -> Opened:
    opened = _open_plainly(BmpImagePlugin.BmpImageFile, data, max_pixels)
    profile = profile_of(data)
    if profile is not None:
        opened.image.info["icc_profile"] = profile
    return opened


def _open_plainly(reader: Callable[[io.BytesIO], ImageFile], data: bytes, max_pixels: int) -> Opened:
    image = reader(io.BytesIO(data))
    _check_header(image, data, max_pixels)
    if getattr(image, "is_animated", False):
        raise not_supported(f"animation ({getattr(image, 'n_frames', 0)} frames)")
    return Opened(image, data)


def _check_header(image: ImageFile, data: bytes, max_pixels: int) -> None:
    _check_size(image.size, max_pixels)
    require_plausible_size(image, data)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels <= 0:
        raise ImageRejected("no pixels")
    if pixels > max_pixels:
        raise ImageRejected(describe_excess(pixels, max_pixels))


def _split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    # np.array, not np.asarray: torch needs a writable array.
    rgb = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return rgb, np.array(image.getchannel("A")) if "A" in image.mode else None


def _silence_pillow() -> None:
    # Pillow warns about odd metadata. Nobody acts on that here, and where warnings are errors it would reject a
    # good image. catch_warnings is not thread-safe; one permanent filter is.
    if _SILENCED not in warnings.filters[:1]:
        warnings.filterwarnings("ignore", module=_PILLOW_WARNINGS)


# The readers themselves, not Image.open, which checks sizes against a limit shared by the whole process, tries
# every format in turn, and treats a camera's JPEG with further pictures (MPO) as an animation.
_OPENERS: dict[str, Callable[[bytes, int], Opened]] = {
    "AVIF": _open_avif,
    "BMP": _open_bmp,
    "GIF": partial(_open_plainly, GifImagePlugin.GifImageFile),
    "JPEG": _open_jpeg,
    "JPEG2000": _open_jpeg2000,
    "PNG": _open_png,
    "PPM": partial(_open_plainly, PpmImagePlugin.PpmImageFile),
    "TIFF": _open_tiff,
    "WEBP": partial(_open_plainly, WebPImagePlugin.WebPImageFile),
}

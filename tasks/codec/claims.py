"""Limits on the pixels that a file can hold: a header may claim a size that takes gigabytes to decode.

A file of a few hundred bytes that claims hundreds of megapixels is not a photograph. The limits below are those of
each format's densest encoding, so that a file which really holds its pixels never exceeds them.
"""

from __future__ import annotations

import io
import math
import struct

from PIL import Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

from tasks.codec.formats.png_file import CHANNELS
from tasks.codec.pictures import ImageRejected
from tasks.codec.sniff import identify

_DEFLATE = 1032
"""Largest number of bytes that one deflated byte can expand to."""
_LZW = 2560
"""A code of 12 bits stands for at most 3,838 samples."""
_DCT = 512
"""One bit per block of 8x8 pixels: the shortest Huffman code, in a progressive file."""
_RAW = 8
"""One bit per pixel."""
_TIFF = {
    "raw": _RAW,
    "packbits": 64 * _RAW,
    "tiff_lzw": _LZW * _RAW,
    "tiff_adobe_deflate": _DEFLATE * _RAW,
    "tiff_deflate": _DEFLATE * _RAW,
    "jpeg": _DCT,
}
_UNBOUNDED = 100_000
"""Limit for formats that can store an empty picture in no bits. Black photographs stay well below it."""
_CHEAP_PIXELS = 16_000_000
"""Pixels that are cheap to decode and are therefore allowed even for an empty picture in such a format."""
_MORE_THAN_PILLOW_OPENS = 2**31
"""Stand-in for the size of a file that Pillow refuses to open as too large, without naming its size."""
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
"""Markers of JPEG types whose blocks may take far less than a bit."""


def claimed_pixels(data: bytes) -> int:
    """Return the number of pixels that a header claims, without decoding; 0 if it cannot be read.

    Raises
    ------
    MemoryError
        If the machine has too little memory.
    """
    try:
        name = identify(data)
        if name == "PNG":  # even if its other chunks are damaged
            return math.prod(struct.unpack_from(">II", data, 16))
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            return math.prod(image.size)
    except Image.DecompressionBombError:
        return _MORE_THAN_PILLOW_OPENS
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - readers raise anything; `decode` meets the same fault and reports it
        return 0


def describe_excess(pixels: int, limit: int) -> str:
    """Describe a number of pixels that exceeds a limit: in megapixels, unless these do not show the difference."""
    size, most = _megapixels(pixels), _megapixels(limit)
    if size == most:
        return f"{pixels:,} pixels, over the limit of {limit:,}"
    return f"{size} megapixels, over the limit of {most}"


def require_plausible_size(image: ImageFile, data: bytes) -> None:
    """Reject a file whose header claims more pixels than its bytes can hold.

    Parameters
    ----------
    image
        The opened image, not decoded.
    data
        The file.

    Raises
    ------
    ImageRejected
        If the header claims more; the reason has both numbers.
    """
    pixels = image.size[0] * image.size[1]
    most = _pixels_per_byte(image, data)
    if pixels <= (most or _UNBOUNDED) * len(data) or (most is None and pixels <= _CHEAP_PIXELS):
        return
    raise ImageRejected(
        f"claims {pixels / 1e6:.3g} megapixels, which {len(data):,} bytes of {image.format} cannot hold"
    )


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:,.0f}" if pixels >= 10_000_000 else f"{pixels / 1e6:.3g}"


def _pixels_per_byte(image: ImageFile, data: bytes) -> float | None:
    """Return the largest number of pixels per byte, or None if the format has no limit."""
    name = image.format
    if name == "JPEG":
        return None if any(marker in data for marker in _ARITHMETIC) else _DCT
    if name == "PNG":
        return _DEFLATE * 8 / (data[24] * CHANNELS.get(data[25], 1) or 1)
    if name == "GIF":
        return _LZW
    if name == "PPM":
        return _RAW
    if name == "BMP":
        return _RAW if image.tile and image.tile[0][0] == "raw" else None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _TIFF.get(str(image.info.get("compression")))
    return None

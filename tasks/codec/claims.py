"""How many pixels a file can hold at most: a header may claim a size that costs gigabytes to decode.

A file of a few hundred bytes that claims hundreds of megapixels is no photograph, whatever a decoder would make
of it. The limits below are those of each format's densest encoding, so no file that holds its pixels exceeds them.
"""

from __future__ import annotations

import io
import math
import struct

from PIL import Image, TiffImagePlugin
from PIL.ImageFile import ImageFile

from tasks.codec.pictures import ImageRejected
from tasks.codec.sniff import identify

_DEFLATE = 1032
"""Bytes that one deflated byte becomes, at most."""
_LZW = 2560
"""One code of 12 bits stands for at most 3,838 samples."""
_DCT = 512
"""A bit for each block of 8x8 pixels: the shortest Huffman code, in a progressive file."""
_RAW = 8
"""One bit a pixel."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of a PNG, by its colour type."""
_TIFF = {
    "raw": _RAW,
    "packbits": 64 * _RAW,
    "tiff_lzw": _LZW * _RAW,
    "tiff_adobe_deflate": _DEFLATE * _RAW,
    "tiff_deflate": _DEFLATE * _RAW,
    "jpeg": _DCT,
}
_UNBOUNDED = 100_000
"""Of formats that can store an empty picture in no bits at all. Black photographs stay well below it."""
_CHEAP_PIXELS = 16_000_000
"""So many cost little to decode, and may be empty in such a format."""
_MORE_THAN_PILLOW_OPENS = 2**31
"""Pillow refuses to open what is larger than a limit of its own, and does not say how large it is."""
_ARITHMETIC = (b"\xff\xc9", b"\xff\xca")
"""Markers of a JPEG whose blocks may take far less than a bit."""


def claimed_pixels(data: bytes) -> int:
    """Return the height times the width that a header claims, without decoding; 0 where it cannot be read.

    Raises
    ------
    MemoryError
        A fault of the machine.
    """
    try:
        name = identify(data)
        if name == "PNG":  # whatever is wrong with its other chunks
            return math.prod(struct.unpack_from(">II", data, 16))
        with Image.open(io.BytesIO(data), formats=[name]) as image:
            return math.prod(image.size)
    except Image.DecompressionBombError:
        return _MORE_THAN_PILLOW_OPENS
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - readers raise anything; `decode` meets the same fault, and reports it
        return 0


def require_plausible_size(image: ImageFile, data: bytes) -> None:
    """Reject a file whose header claims more pixels than its bytes can hold.

    Parameters
    ----------
    image
        Opened, not decoded.
    data
        The file.

    Raises
    ------
    ImageRejected
        Names both figures.
    """
    pixels = image.size[0] * image.size[1]
    most = _pixels_per_byte(image, data)
    if pixels <= (most or _UNBOUNDED) * len(data) or (most is None and pixels <= _CHEAP_PIXELS):
        return
    raise ImageRejected(
        f"claims {pixels / 1e6:.3g} megapixels, which {len(data):,} bytes of {image.format} cannot hold"
    )


def _pixels_per_byte(image: ImageFile, data: bytes) -> float | None:
    """Return how many pixels a byte can stand for, or None where the format sets no limit."""
    name = image.format
    if name == "JPEG":
        return None if any(marker in data for marker in _ARITHMETIC) else _DCT
    if name == "PNG":
        return _DEFLATE * 8 / (data[24] * _CHANNELS.get(data[25], 1) or 1)
    if name == "GIF":
        return _LZW
    if name == "PPM":
        return _RAW
    if name == "BMP":
        return _RAW if image.tile and image.tile[0][0] == "raw" else None
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _TIFF.get(str(image.info.get("compression")))
    return None

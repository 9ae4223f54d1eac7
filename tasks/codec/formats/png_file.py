"""Parser of a PNG's chunks (`parse_png`), which separates the pixels from everything else.

Pillow rejects a picture because of an ancillary chunk that is large
(https://github.com/python-pillow/Pillow/issues/8363) or has a wrong checksum, although every viewer shows it.
Pillow is therefore given only the chunks that hold the pixels.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from isal import isal_zlib
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from tasks.codec.pictures import INCHES_PER_METRE, ImageRejected, not_supported

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Samples per pixel by colour type."""
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_FRAMES = (b"acTL", b"fcTL", b"fdAT")
_MOST_METADATA = 32 << 20
"""Largest inflated size in bytes of a metadata chunk, twice the largest ICC profile that a JPEG can hold."""

_DEFLATED_AT_ONCE, _INFLATED_AT_ONCE = 1 << 16, 1 << 20
_DEPTH_AT = 24
_ONE_PASS = ((0, 0, 1, 1),)
_ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
_LAST_ROWS = 2  # in interlaced files, the last pass has every second row

Chunk = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class PngFile:
    """The parts of a PNG."""

    pixels: bytes
    """A PNG of only the picture: header, palette, transparent colour, data."""
    ancillary: tuple[Chunk, ...]
    """Name and body of all other intact chunks, in order."""
    damaged: tuple[str, ...]
    """Names of chunks that were dropped because of a wrong checksum."""


def parse_png(data: bytes) -> PngFile:
    """Split a PNG into its parts.

    Raises
    ------
    ImageRejected
        For an animation, an unknown critical chunk, or a critical chunk with a wrong checksum.
    """
    pixels, ancillary, damaged = [], [], []
    for name, body, is_intact in _chunks(data):
        if name in _CRITICAL:
            _require_intact(is_intact)
            pixels.append((name, body))
        elif name[:1].isupper():
            raise not_supported(f"PNG with the critical chunk {name.decode('ascii', 'replace')}")
        elif is_intact is not True:
            damaged.append(name.decode())
        elif name == b"tRNS":
            pixels.append((name, body))
        else:
            ancillary.append((name, body))
    _require_still(ancillary)
    rest = tuple(chunk for chunk in ancillary if chunk[0] not in _FRAMES)
    return PngFile(_joined(pixels), rest, tuple(dict.fromkeys(damaged)))


def lacks_rows(pixels: bytes, image: Image.Image) -> bool:
    """Return whether the data of a PNG ends before its last row, which Pillow would silently leave black.

    Parameters
    ----------
    pixels
        `pixels` of a `PngFile`.
    image
        Its decoded picture. The data is checked only if a row at its end is black or transparent.
    """
    last_rows = (image.crop((0, top, image.width, top + 1)) for top in range(image.height)[-_LAST_ROWS:])
    if all(any(row.tobytes()) for row in last_rows):
        return False
    data = b"".join(body for name, body, _ in _chunks(pixels) if name == b"IDAT")
    return _inflated_bytes(data) < _bytes_of_rows(pixels)


def apply_wide_key(pixels: bytes, image: PngImageFile) -> None:
    """Give a picture of 16-bit colour its alpha channel, if the file has a transparent colour.

    Pillow keeps only the high byte of each sample, by which too many pixels would be transparent.

    Parameters
    ----------
    pixels
        `pixels` of a `PngFile`.
    image
        Its decoded picture, to which the channel is added.
    """
    key = image.info.get("transparency")
    if pixels[_DEPTH_AT] != 16 or not isinstance(key, tuple):
        return
    low = PngImageFile(io.BytesIO(pixels))
    low.tile = [tile._replace(args="RGB;16L") for tile in low.tile]  # the other byte of each sample
    low.load()
    is_key = np.ones((image.height, image.width), np.bool_)
    for octets, shift in ((image, 8), (low, 0)):
        is_key &= (np.asarray(octets) == [level >> shift & 255 for level in key]).all(axis=2)
    image.putalpha(Image.fromarray(np.where(is_key, 0, 255).astype(np.uint8)))
    del image.info["transparency"]


def _inflated_bytes(data: bytes) -> int:
    """Return the inflated size of data, counted piece by piece, up to any damage."""
    reader, total = zlib.decompressobj(), 0
    for start in range(0, len(data), _DEFLATED_AT_ONCE):
        part = data[start : start + _DEFLATED_AT_ONCE]
        try:
            while part:
                total += len(reader.decompress(part, _INFLATED_AT_ONCE))
                part = reader.unconsumed_tail
        except zlib.error:
            break
    return total


def _bytes_of_rows(pixels: bytes) -> int:
    """Return the size in bytes of the rows of all passes, according to the header."""
    width, height, depth, colour_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", pixels, 16)
    total = 0
    for top, left, down, across in _ADAM7 if interlaced else _ONE_PASS:
        rows, columns = len(range(top, height, down)), len(range(left, width, across))
        total += rows * (1 + -(-columns * depth * CHANNELS[colour_type] // 8)) if columns else 0
    return total


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a chunk as it is stored in a file."""
    checksum = isal_zlib.crc32(body, isal_zlib.crc32(name))
    return b"".join([struct.pack(">I", len(body)), name, body, struct.pack(">I", checksum)])


def inflate(body: bytes) -> bytes | None:
    """Return the compressed text or profile of a chunk, or None if it is damaged or a decompression bomb."""
    reader = zlib.decompressobj()
    try:
        plain = reader.decompress(body, _MOST_METADATA)
    except zlib.error:
        return None
    return None if reader.unconsumed_tail else plain


def profile_of(body: bytes) -> bytes | None:
    """Return the ICC profile of an iCCP chunk: a name, the method (0), the profile deflated."""
    _, _, packed = body.partition(b"\0")
    return inflate(packed[1:]) if packed[:1] == b"\0" else None


def dpi_of(body: bytes) -> tuple[float, float] | None:
    """Return the dots per inch of a pHYs chunk, or None if it has only an aspect ratio."""
    if len(body) != 9 or body[8] != 1:
        return None
    across, down = struct.unpack(">II", body[:8])
    return across / INCHES_PER_METRE, down / INCHES_PER_METRE


def keyword_of(body: bytes) -> bytes:
    """Return the keyword of a tEXt, zTXt or iTXt chunk."""
    return body.partition(b"\0")[0]


def text_of(name: bytes, body: bytes) -> bytes | None:
    """Return the text of a tEXt, zTXt or iTXt chunk, or None if it is damaged or a decompression bomb."""
    _, _, rest = body.partition(b"\0")
    if name == b"tEXt":
        return rest
    if name == b"zTXt":
        return inflate(rest[1:])
    flags, parts = rest[:2], rest[2:].split(b"\0", 2)
    if len(parts) < 3:
        return None
    return inflate(parts[2]) if flags[:1] == b"\1" else parts[2]


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool | None]]:
    """Yield name, body, and whether the checksum is right: None if the file ends within the chunk."""
    position = len(SIGNATURE)
    while position + 8 <= len(data):
        (size,) = struct.unpack_from(">I", data, position)
        name, start = data[position + 4 : position + 8], position + 8
        if not name.isalpha():  # not a chunk: trailing data is ignored
            return
        body, stored = data[start : start + size], data[start + size : start + size + 4]
        position = start + size + 4
        if len(stored) < 4:
            yield name, body, None
            return
        yield name, body, isal_zlib.crc32(body, isal_zlib.crc32(name)) == int.from_bytes(stored, "big")
        if name == b"IEND":
            return


def _require_intact(is_intact: bool | None) -> None:
    if is_intact is False:
        raise ImageRejected("damaged PNG")


def _require_still(chunks: Iterable[Chunk]) -> None:
    counts = (int.from_bytes(body[:4], "big") for name, body in chunks if name == b"acTL" and len(body) == 8)
    frames = next(counts, 1)
    if frames > 1:
        raise not_supported(f"animation ({frames} frames)")


def _joined(chunks: Iterable[Chunk]) -> bytes:
    return b"".join([SIGNATURE, *(chunk(name, body) for name, body in chunks)])

"""EXIF blocks: read the orientation, and make the block that fits the upright picture.

The block is edited in place and nothing in it moves: maker notes, whose offsets nobody knows, survive. Pillow's
`Exif.tobytes` moves and alters them (https://github.com/python-pillow/Pillow/issues/7545).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

ORIENTATION = 0x0112
PHOTOGRAPH = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
"""Tags of a TIFF that describe the photograph, not its samples: description, make, model, software,
time, artist, copyright."""
SUB_DIRECTORIES = (0x8769, 0x8825)
"""The photograph's settings, and its place."""

_ENTRY = 12


@dataclass(frozen=True, slots=True)
class Upright:
    """How to turn a picture, and what remains of its EXIF once it is turned."""

    orientation: int
    block: bytes | None
    is_damaged: bool = False
    """There was a block, and it could not be read."""


def make_upright(raw: bytes) -> Upright:
    """Read the orientation of an EXIF block and take it out, with the link to the thumbnail.

    A block that cannot be read turns nothing and is not kept: no fault of it is a fault of the picture.
    """
    block = raw
    while block.startswith(b"Exif\0\0"):
        block = block[6:]
    try:
        return _take_orientation(block)
    except (struct.error, ValueError):
        return Upright(1, None, is_damaged=True)


def _take_orientation(block: bytes) -> Upright:
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        raise ValueError("no byte order")
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start < 8:
        raise ValueError("the directory lies in the header")
    (count,) = struct.unpack_from(order + "H", block, start)
    first = start + 2
    end = first + count * _ENTRY
    kept, orientation = bytearray(), 1
    for position in range(first, end, _ENTRY):
        tag, kind, _, value = struct.unpack_from(order + "HHI4s", block, position)
        if tag == ORIENTATION:
            orientation = struct.unpack(order + ("I" if kind == 4 else "H2x"), value)[0]
        else:
            kept += block[position : position + _ENTRY]
    if not kept:
        return Upright(orientation, None)
    # Next directory 0: the thumbnail it would lead to still shows the rain, and lies on its side.
    table = struct.pack(order + "H", len(kept) // _ENTRY) + bytes(kept) + bytes(4)
    room = min(end + 4, len(block)) - start
    table = table.ljust(room, b"\0")
    return Upright(orientation, block[:start] + table + block[start + len(table) :])


def block_of_tiff(tags: Image.Exif) -> bytes | None:
    """Return an EXIF block of the tags of a TIFF that describe the photograph, or None."""
    block = Image.Exif()
    for tag in PHOTOGRAPH:
        if tag in tags:
            block[tag] = tags[tag]
    for tag in SUB_DIRECTORIES:
        directory = tags.get_ifd(tag)
        if directory:
            block.get_ifd(tag).update(directory)
    if not block and not any(block.get_ifd(tag) for tag in SUB_DIRECTORIES):
        return None
    return make_upright(block.tobytes()).block


def tiff_tags(block: bytes) -> Mapping[int, Any]:
    """Return what of an EXIF block belongs in the directory of a TIFF."""
    exif = Image.Exif()
    exif.load(block)
    tags: dict[int, Any] = {tag: exif[tag] for tag in PHOTOGRAPH if tag in exif}
    for tag in SUB_DIRECTORIES:
        directory = exif.get_ifd(tag)
        if directory:
            tags[tag] = directory
    return tags

"""EXIF blocks (`make_upright`): reads the orientation and returns the block that fits the upright picture.

The block is edited in place and nothing in it moves, so maker notes, whose offsets are undocumented, survive.
Pillow's `Exif.tobytes` moves and alters them (https://github.com/python-pillow/Pillow/issues/7545).
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
_LONG = (4, 9)


@dataclass(frozen=True, slots=True)
class Upright:
    """The orientation of a picture, and its EXIF block after the orientation has been applied."""

    orientation: int
    block: bytes | None
    is_damaged: bool = False
    """Whether there is a block that could not be read."""
    has_orientation: bool = False
    """Whether the block has an orientation, which then counts before that of an XMP packet."""


def make_upright(raw: bytes) -> Upright:
    """Return the orientation of an EXIF block, and the block without it and without the link to the thumbnail.

    An unreadable block gives no orientation and is dropped: its faults are not faults of the picture.
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
    kept, orientations = bytearray(), list[int]()
    for position in range(first, end, _ENTRY):
        tag, kind, _, value = struct.unpack_from(order + "HHI4s", block, position)
        if tag == ORIENTATION:
            orientations += struct.unpack(order + ("I" if kind in _LONG else "H2x"), value)
        else:
            kept += block[position : position + _ENTRY]
    orientation = next(iter(orientations), 1)  # of several, other readers take the first as well
    has_orientation = bool(orientations)
    if not kept:
        return Upright(orientation, None, has_orientation=has_orientation)
    # Next directory 0: it would lead to the thumbnail, which still shows the rain and is not upright.
    table = struct.pack(order + "H", len(kept) // _ENTRY) + bytes(kept) + bytes(4)
    room = min(end + 4, len(block)) - start
    table = table.ljust(room, b"\0")
    upright = block[:start] + table + block[start + len(table) :]
    return Upright(orientation, upright, has_orientation=has_orientation)


def block_of_tiff(tags: Image.Exif) -> bytes | None:
    """Return an EXIF block of those tags of a TIFF that describe the photograph, or None."""
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
    """Return the tags of an EXIF block that belong in the directory of a TIFF."""
    exif = Image.Exif()
    exif.load(block)
    tags: dict[int, Any] = {tag: exif[tag] for tag in PHOTOGRAPH if tag in exif}
    for tag in SUB_DIRECTORIES:
        directory = exif.get_ifd(tag)
        if directory:
            tags[tag] = directory
    return tags

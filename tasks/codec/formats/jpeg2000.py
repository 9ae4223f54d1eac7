"""The metadata of a JPEG 2000 file (`metadata_of`), which Pillow does not read: ICC profile, EXIF and XMP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tasks.codec.pictures import not_supported

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF = b"JpgTiffExif->JP2"
_GEOGRAPHIC = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
_GEOGRAPHIC_XML = b"gml.data"
_ENUMERATED, _PROFILES = 1, (2, 3)
_READ_SPACES = (12, 16, 17, 18)
"""CMYK, sRGB, grey and sYCC."""
_START = b"\0\0\0\x0cjP  "

Box = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Jpeg2000Metadata:
    """The contents of the boxes of a JPEG 2000 file."""

    info: dict[str, Any]
    """Metadata under the names that Pillow gives them in other formats."""
    lost: tuple[str, ...]
    """Contents that no output keeps, in words."""


def metadata_of(data: bytes) -> Jpeg2000Metadata:
    """Read the metadata of a JPEG 2000; a bare codestream has none.

    Raises
    ------
    ImageRejected
        If its only colour space is one that Pillow takes for another.
    """
    boxes = list(_boxes(data)) if data.startswith(_START) else []
    info = _colours(boxes)
    for name, body in boxes:
        if name == b"uuid" and body.startswith(_XMP):
            info["xmp"] = body[len(_XMP) :]
        elif name == b"uuid" and body.startswith(_EXIF):
            info["exif"] = body[len(_EXIF) :]
    return Jpeg2000Metadata(info, ("georeference",) if any(map(_is_geographic, boxes)) else ())


def _colours(boxes: list[Box]) -> dict[str, Any]:
    headers = (body for name, body in boxes if name == b"jp2h")
    colours = [body for header in headers for name, body in _boxes(header) if name == b"colr" and body]
    profile = next((body[3:] for body in colours if body[0] in _PROFILES), None)
    spaces = [int.from_bytes(body[3:7], "big") for body in colours if body[0] == _ENUMERATED]
    if profile is not None:
        return {"icc_profile": profile}
    if spaces and not set(spaces) & set(_READ_SPACES):
        raise not_supported(f"JPEG 2000 of colour space {spaces[0]}")
    return {}


def _is_geographic(box: Box) -> bool:
    name, body = box
    return (name == b"uuid" and body.startswith(_GEOGRAPHIC)) or (name == b"asoc" and _GEOGRAPHIC_XML in body)


def _boxes(data: bytes) -> Iterator[Box]:
    """Yield name and body of each box, up to any damage."""
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        end = position + size if size else len(data)
        if end < start or end > len(data):
            return
        yield name, data[start:end] if name != b"jp2c" else b""
        position = end

"""Data that phones and cameras store in a file together with the picture, and that no output keeps."""

from __future__ import annotations

import re
import struct

from tasks.codec.formats.avif import HEAD_BYTES
from tasks.codec.formats.jpeg_file import JpegFile
from tasks.codec.formats.png_file import Chunk
from tasks.codec.metadata.xmp import names_gain_map

_ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\0"
_APPLICATION_2 = 0xE2
_IN_SEGMENTS = ((0xE1, b"FLIR\0", "thermal data"), (0xEB, b"jumb", "content credentials"))
"""Application segment, a mark near its beginning, and its contents: radiometric values, signatures (C2PA)."""
_BEGINNING = 40
_VIDEO = re.compile(rb"ftyp[A-Za-z0-9 ]{4}")
_SOUND = re.compile(rb"RIFF.{4}WAVE", re.DOTALL)
_START_OF_JPEG = b"\xff\xd8\xff"
_BRAND_OF_TONE_MAP = b"tmap"
_COLOUR_CODES = b"colrnclx"
_UNSPECIFIED = 2


def appended_to_jpeg(jpeg: JpegFile, data: bytes) -> tuple[str, ...]:
    """Describe the contents of a JPEG apart from its picture: gain map (Ultra HDR), pictures (MPO), video, ..."""
    rest = b"" if jpeg.end is None else data[jpeg.end :]
    found = []
    if _has_gain_map(jpeg, rest):
        found.append("gain map")
    elif rest.lstrip(b"\0").startswith(_START_OF_JPEG):
        found.append("further pictures")
    if _VIDEO.search(rest):
        found.append("video")
    if _SOUND.search(rest):
        found.append("sound")
    segments = (
        name
        for marker, body in jpeg.segments
        for wanted, mark, name in _IN_SEGMENTS
        if marker == wanted and mark in body[:_BEGINNING]
    )
    return (*found, *dict.fromkeys(segments))


def kept_with_avif(data: bytes) -> tuple[str, ...]:
    """Describe the contents of an AVIF besides its picture."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    return ("gain map",) if _BRAND_OF_TONE_MAP in data[8:size] else ()


def colour_codes_of_avif(data: bytes) -> tuple[Chunk, ...]:
    """Return the colour description of an AVIF as a PNG chunk (cICP)."""
    at = data.find(_COLOUR_CODES, 0, HEAD_BYTES)
    if at < 0:
        return ()
    primaries, transfer = struct.unpack_from(">HH", data, at + len(_COLOUR_CODES))
    if _UNSPECIFIED in (primaries, transfer) or max(primaries, transfer) > 255:
        return ()
    return ((b"cICP", bytes([primaries, transfer, 0, 1])),)  # already RGB, in full range


def _has_gain_map(jpeg: JpegFile, rest: bytes) -> bool:
    if any(marker == _APPLICATION_2 and body.startswith(_ISO_GAIN_MAP) for marker, body in jpeg.segments):
        return True
    packets = (body for marker, body in jpeg.segments if b"ns.adobe.com/xap" in body[:32])
    return any(map(names_gain_map, packets)) or (bool(rest) and names_gain_map(rest))

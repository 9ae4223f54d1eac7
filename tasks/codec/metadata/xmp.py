"""XMP packets (`upright_xmp`): correction of properties that do not hold for the output."""

from __future__ import annotations

import re

# As an attribute or as an element, with whatever prefix the writer binds to the TIFF name space.
_ORIENTATION = re.compile(rb"""(\w+:Orientation(?:\s*=\s*["']|>)\s*)[2-8](?=\s*["'<])""")
_GAIN_MAP = re.compile(rb"hdr-gain-map|GainMap", re.IGNORECASE)
_APPENDED = re.compile(rb"photos/1\.0/container/|MotionPhoto|MicroVideo|HasExtendedXMP")
_PREFIXES = re.compile(rb"xmlns:(\w+)\s*=")
_PREFIXES_OF_APPENDED = {b"x", b"rdf", b"hdrgm", b"HDRGainMap", b"Container", b"Item", b"GCamera"}


def upright_xmp(packet: bytes) -> bytes:
    """Return a packet whose orientation is upright."""
    return _ORIENTATION.sub(rb"\g<1>1", packet)


def names_gain_map(packet: bytes) -> bool:
    """Return whether a packet describes a gain map, which no output has."""
    return bool(_GAIN_MAP.search(packet))


def names_appended_data(packet: bytes) -> bool:
    """Return whether a packet describes data after the picture, which no output has."""
    return names_gain_map(packet) or bool(_APPENDED.search(packet))


def names_more_data(packet: bytes) -> bool:
    """Return whether a packet that describes appended data describes the photograph as well."""
    return not set(_PREFIXES.findall(packet)) <= _PREFIXES_OF_APPENDED

"""Layouts that Pillow refuses although the file is valid (`unread_layout`), so that it is not called damaged."""

from __future__ import annotations

import re

_REFUSALS = (
    (re.compile(r"Unsupported BMP (pixel depth|compression) \((\d+)\)"), r"BMP of \1 \2"),
    (re.compile(r"Unsupported BMP bitfields layout"), "BMP of another division of bits among colours"),
    (re.compile(r"unable to determine J2K image mode"), "JPEG 2000 of more than four components"),
)
"""Messages of Pillow's readers, and the descriptions of the layouts."""


def unread_layout(fault: Exception) -> str | None:
    """Describe the layout that Pillow's error refuses; None if the error has another cause."""
    matches = ((pattern.match(str(fault)), layout) for pattern, layout in _REFUSALS)
    return next((match.expand(layout) for match, layout in matches if match), None)

"""Suffixes of keys that are treated as images; the actual format of a file is detected from its content."""

from __future__ import annotations

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".jp2",
)  # fmt: skip
"""Lower-case suffixes; matching ignores case."""
NO_SUFFIX = "no suffix"
OTHER_SUFFIX = "other suffixes"
_LONGEST = 8


def suffix_of(key: str) -> str:
    """Return the suffix of a key in lower case, including the dot.

    Returns
    -------
    str
        `NO_SUFFIX` if there is none, `OTHER_SUFFIX` if the text after the dot does not look like a suffix.
    """
    name = key.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    if not dot or (not stem and f".{suffix.lower()}" not in IMAGE_SUFFIXES):
        return NO_SUFFIX
    is_plain = suffix.isascii() and suffix.isalnum() and len(suffix) <= _LONGEST
    return f".{suffix.lower()}" if is_plain else OTHER_SUFFIX

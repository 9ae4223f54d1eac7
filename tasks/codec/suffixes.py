"""The endings of keys that are taken for images; what such a file really is, its content decides."""

from __future__ import annotations

IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif", ".jp2",
)  # fmt: skip
"""In any case of letters."""
NO_SUFFIX = "no suffix"
OTHER_SUFFIX = "other suffixes"
_LONGEST = 8


def suffix_of(key: str) -> str:
    """Return the suffix of a key in small letters, dot included.

    Returns
    -------
    str
        `NO_SUFFIX` where there is none, `OTHER_SUFFIX` for what follows a dot but is no suffix that anyone uses.
    """
    name = key.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    if not dot or (not stem and f".{suffix.lower()}" not in IMAGE_SUFFIXES):
        return NO_SUFFIX
    is_plain = suffix.isascii() and suffix.isalnum() and len(suffix) <= _LONGEST
    return f".{suffix.lower()}" if is_plain else OTHER_SUFFIX

"""Output keys (`output_key`): a pure, one-to-one function of the image's key."""

from __future__ import annotations

import re

from infra.shown import is_text
from tasks.codec.exports import Export
from tasks.codec.pictures import ImageRejected

_SUFFIX = {"same": "", "png": ".png", "jpeg": ".jpg"}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_OUR_TEMPORARY = re.compile(r"\.derain-[^/\\]*\.tmp")


def output_suffix(label: str) -> str:
    """Return the suffix that an export, given by its label, appends to the key of a source."""
    return _SUFFIX[label.partition("-")[0]]


def output_key(key: str, export: Export) -> str:
    """Return the key of the output, relative to the destination.

    The mapping is one-to-one per export: the source's suffix is kept, and that of a forced format is appended. Keys
    are literal: spaces, percent signs, letters of any script and trailing dots are kept.

    Raises
    ------
    ImageRejected
        If the key could leave the destination, collide with another key there, or be mistaken for a file that is
        still being written.
    """
    fault = _fault(key)
    if fault is not None:
        raise ImageRejected(fault)
    return key + _SUFFIX[export.kind]


def _fault(key: str) -> str | None:
    if not key or "\0" in key:
        return "the key is empty or holds a NUL"
    if key[0] in "/\\" or _DRIVE.match(key):
        return "the key is an absolute path"
    # A backslash is an ordinary character in S3 and on Linux, but not for every reader of a destination.
    if ".." in re.split(r"[/\\]", key):
        return "the key could leave the destination (..)"
    # A file system folds these away: a//b and a/./b would overwrite a/b.
    if any(part in ("", ".") for part in key.split("/")):
        return "the key has an empty or . component"
    if _OUR_TEMPORARY.fullmatch(key.rsplit("/", 1)[-1]):
        return "the key is that of a temporary file of a derain run"
    if not is_text(key):
        return "the key is not valid Unicode"
    return None

"""Transfer of metadata to an output (`carry`), with descriptions of metadata that its format cannot hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tasks.codec.formats.png_metadata import lost_outside_png
from tasks.codec.formats.tiff import tags_of_exif
from tasks.codec.pictures import Metadata, PictureForm

_JPEG_SEGMENT = 65_533
_JPEG_PROFILE = 255 * (_JPEG_SEGMENT - 14)  # segments are numbered in one byte
_HELD = {
    "BMP": ("dpi",),
    "JPEG": ("icc_profile", "exif", "dpi", "xmp", "iptc", "comment"),
    "PNG": ("icc_profile", "exif", "dpi", "xmp", "png_chunks"),
    "TIFF": ("icc_profile", "exif", "dpi", "xmp", "iptc", "tiff_tags"),
    "WEBP": ("icc_profile", "exif", "xmp"),
}
_LARGEST_IN_JPEG = {
    "icc_profile": _JPEG_PROFILE,
    "exif": _JPEG_SEGMENT - len(b"Exif\0\0"),
    "xmp": _JPEG_SEGMENT - len(b"http://ns.adobe.com/xap/1.0/\0"),
    "iptc": _JPEG_SEGMENT - len(b"Photoshop 3.0\0") - 14,
    "comment": _JPEG_SEGMENT,
}
_NAMES = {
    "icc_profile": "ICC profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "comment": "comment",
    "tiff_tags": "georeference",
}
_NOTHING = Metadata()


def carry(form: PictureForm, target: str) -> tuple[Metadata, tuple[str, ...]]:
    """Return the source's metadata that the output keeps, and descriptions of what it lacks.

    Parameters
    ----------
    form
        The form of the source.
    target
        The format of the output.
    """
    lost = [field for field in (*_NAMES, "png_chunks") if not _is_held(form.metadata, field, target)]
    without: dict[str, Any] = {field: getattr(_NOTHING, field) for field in lost}
    return replace(form.metadata, **without), (*form.dropped, *_names(form.metadata, lost))


def _is_held(metadata: Metadata, field: str, target: str) -> bool:
    value = getattr(metadata, field)
    if value == getattr(_NOTHING, field):
        return True
    if field not in _HELD[target]:
        return False
    if target == "TIFF" and field == "exif":
        return tags_of_exif(value) is not None
    return target != "JPEG" or field not in _LARGEST_IN_JPEG or len(value) <= _LARGEST_IN_JPEG[field]


def _names(metadata: Metadata, lost: list[str]) -> Iterator[str]:
    for field in lost:
        if field == "png_chunks":
            yield from lost_outside_png(metadata.png_chunks, has_profile=metadata.icc_profile is not None)
        else:
            yield _NAMES[field]

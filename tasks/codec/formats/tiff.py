"""A small TIFF writer (`write_tiff`): eight bits, raw or deflated, with the EXIF directories of a photograph.

Pillow writes these directories only to raw TIFFs: its compressed ones are written by libtiff, which does not accept
a dictionary as a tag (https://github.com/python-pillow/Pillow/pull/8110 drops them by default). tifffile writes no
EXIF directories.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from isal import isal_zlib
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from models.images import RgbImage
from tasks.codec.metadata.exif import tiff_tags
from tasks.codec.pictures import Metadata

_STRIP_BYTES = 1 << 20
_DEFLATE, _RAW = 8, 1
_BYTE, _UNDEFINED = 1, 7
_UNASSOCIATED_ALPHA = 2


def write_tiff(pixels: RgbImage, metadata: Metadata, *, compressed: bool) -> bytes:
    """Return a single-page TIFF of (H, W) or (H, W, C) samples: grey, grey + alpha, RGB or RGBA.

    An EXIF block that does not fit into a TIFF is dropped rather than rejecting the picture.
    """
    samples = pixels.reshape(*pixels.shape[:2], -1)
    rows_per_strip = max(1, _STRIP_BYTES // (samples.shape[1] * samples.shape[2]))
    strips = _strips(samples, rows_per_strip, compressed)
    exif = tags_of_exif(metadata.exif) if metadata.exif is not None else None
    directory = _directory({**(exif or {}), **_layout(samples, rows_per_strip, compressed)}, metadata)
    lengths = [len(strip) for strip in strips]
    directory[273] = tuple(int(start) for start in np.cumsum([0, *lengths[:-1]]))  # from the directory's end
    directory[279] = tuple(lengths)
    for tag in (273, 279):
        directory.tagtype[tag] = 4  # LONG: Pillow would choose by the present values, not the shifted ones
    buffer = io.BytesIO()
    directory.save(buffer)
    return b"".join([buffer.getvalue(), *strips])


def tags_of_exif(block: bytes) -> Mapping[int, Any] | None:
    """Return the tags of an EXIF block for the directory of a TIFF, or None if it does not fit."""
    try:
        tags = tiff_tags(block)
        _directory(tags, Metadata()).save(io.BytesIO())
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises whatever odd tags provoke
        return None
    return tags


def _directory(tags: Mapping[int, Any], metadata: Metadata) -> ImageFileDirectory_v2:
    directory = ImageFileDirectory_v2()
    for tag, value in tags.items():
        directory[tag] = value
    if metadata.dpi is not None:
        directory[282], directory[283], directory[296] = *metadata.dpi, 2
    typed = {
        34675: (_UNDEFINED, metadata.icc_profile),
        700: (_BYTE, metadata.xmp),
        33723: (_BYTE, metadata.iptc),
    }
    for tag, (kind, value) in {**typed, **metadata.tiff_tags}.items():
        if value is not None:
            directory.tagtype[tag] = kind
            directory[tag] = value
    return directory


def _layout(samples: RgbImage, rows_per_strip: int, compressed: bool) -> dict[int, Any]:
    height, width, channels = samples.shape
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (8,) * channels,
        259: _DEFLATE if compressed else _RAW,
        262: 2 if channels >= 3 else 1,
        277: channels,
        278: rows_per_strip,
        284: 1,
    }
    if channels in (2, 4):
        tags[338] = _UNASSOCIATED_ALPHA
    if compressed:
        tags[317] = 2  # horizontal differencing
    return tags


def _strips(samples: RgbImage, rows: int, compressed: bool) -> list[bytes]:
    parts = [samples[top : top + rows] for top in range(0, samples.shape[0], rows)]
    return [isal_zlib.compress(_differences(part), 1) if compressed else part.tobytes() for part in parts]


def _differences(part: RgbImage) -> RgbImage:
    differences = np.ascontiguousarray(part).copy()
    np.subtract(part[:, 1:], part[:, :-1], out=differences[:, 1:])
    return differences

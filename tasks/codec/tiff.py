"""A small TIFF writer: eight bits, raw or deflated, with the EXIF directories of a photograph.

Pillow writes those directories into raw TIFFs only: its compressed ones go through libtiff, and that refuses.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from isal import isal_zlib
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tasks.codec.exif import tiff_tags
from tasks.codec.pictures import Pixels

_STRIP_BYTES = 1 << 20
_DEFLATE, _RAW = 8, 1
_UNASSOCIATED_ALPHA = 2


@dataclass(frozen=True, slots=True)
class TiffOptions:
    """What stands beside the pixels, and whether these are deflated."""

    icc_profile: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    compressed: bool = False


def write_tiff(pixels: Pixels, options: TiffOptions) -> bytes:
    """Return a single-page TIFF of (H, W) or (H, W, C) samples: grey, grey + alpha, RGB or RGBA.

    An EXIF block that does not fit into a TIFF is left out: it is no reason to lose the picture.
    """
    if options.exif is None:
        return _write(pixels, options, {})
    try:
        return _write(pixels, options, tiff_tags(options.exif))
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises whatever odd tags provoke
        return _write(pixels, replace(options, exif=None), {})


def _write(pixels: Pixels, options: TiffOptions, exif_tags: Mapping[int, Any]) -> bytes:
    samples = pixels.reshape(*pixels.shape[:2], -1)
    rows_per_strip = max(1, _STRIP_BYTES // (samples.shape[1] * samples.shape[2]))
    strips = _strips(samples, rows_per_strip, options.compressed)
    directory = ImageFileDirectory_v2()
    for tag, value in {**exif_tags, **_layout(samples, rows_per_strip, options)}.items():
        directory[tag] = value
    lengths = [len(strip) for strip in strips]
    directory[273] = tuple(int(start) for start in np.cumsum([0, *lengths[:-1]]))  # from the directory's end
    directory[279] = tuple(lengths)
    for tag in (273, 279):
        directory.tagtype[tag] = 4  # LONG: Pillow would choose by today's values, not by the shifted ones
    buffer = io.BytesIO()
    directory.save(buffer)
    return b"".join([buffer.getvalue(), *strips])


def _layout(samples: Pixels, rows_per_strip: int, options: TiffOptions) -> dict[int, Any]:
    height, width, channels = samples.shape
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (8,) * channels,
        259: _DEFLATE if options.compressed else _RAW,
        262: 2 if channels >= 3 else 1,
        277: channels,
        278: rows_per_strip,
        284: 1,
    }
    if channels in (2, 4):
        tags[338] = _UNASSOCIATED_ALPHA
    if options.compressed:
        tags[317] = 2  # horizontal differences
    if options.dpi is not None:
        tags |= {282: options.dpi[0], 283: options.dpi[1], 296: 2}
    if options.icc_profile is not None:
        tags[34675] = options.icc_profile
    return tags


def _strips(samples: Pixels, rows: int, compressed: bool) -> list[bytes]:
    parts = [samples[top : top + rows] for top in range(0, samples.shape[0], rows)]
    return [isal_zlib.compress(_differences(part), 1) if compressed else part.tobytes() for part in parts]


def _differences(part: Pixels) -> Pixels:
    differences = np.ascontiguousarray(part).copy()
    np.subtract(part[:, 1:], part[:, :-1], out=differences[:, 1:])
    return differences

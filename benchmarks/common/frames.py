"""Rainy frames of one camera, 640x480 JPEG, for benchmarks of whole jobs."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from benchmarks.common.photographs import images_in
from tasks.media.samples import SAMPLES, photograph, rain_on

SIZE = (640, 480)
DISTINCT = 20
"""Number of different frames; further keys repeat them."""


def write_frames(folder: Path, count: int, data: Path | None = None) -> None:
    """Fill a folder with rainy frames.

    Parameters
    ----------
    folder : Path
        Folder to create.
    count : int
        Number of frames.
    data : Path, optional
        Folder with photographs to resize; by default the sample photographs under procedural rain.
    """
    folder.mkdir(parents=True)
    encoded = [_jpeg(image) for image in _originals(data)]
    for number in range(count):
        (folder / f"{number:06d}.jpg").write_bytes(encoded[number % len(encoded)])


def _originals(data: Path | None) -> Iterator[Image.Image]:
    if data is None:
        for number in range(DISTINCT):
            yield Image.fromarray(rain_on(photograph(SAMPLES[number % len(SAMPLES)]), number))
        return
    for path in images_in(data)[:DISTINCT]:
        with Image.open(path) as image:
            yield image.convert("RGB")


def _jpeg(image: Image.Image) -> bytes:
    encoded = io.BytesIO()
    image.resize(SIZE).save(encoded, "JPEG", quality=92)
    return encoded.getvalue()

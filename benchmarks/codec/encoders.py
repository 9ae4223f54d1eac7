"""Compare our PNG writer with general encoders: `python -m benchmarks.codec.encoders` writes results/encoders.csv.

The images are scikit-image's photographs, unchanged and blurred by one pixel as derained ones are. Each encoder
writes all of them in one thread, five times in turn; the fastest round counts. Every output is read back and
compared.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import skimage
from PIL import Image, ImageFilter

from benchmarks.common.tables import write_table
from tasks.codec.formats.png import write_png
from tasks.codec.pictures import Metadata

RESULTS = Path(__file__).parents[1] / "results" / "encoders.csv"
REPEATS = 5
_RLE, _SUB, _UP = 3, 16, 32  # values of imagecodecs.PNG
Pixels = npt.NDArray[np.uint8]
Encoder = Callable[[Pixels], bytes]


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one encoder over all photographs."""

    encoder: str
    megapixels_per_second: float
    bytes_per_pixel: float
    seconds_over_ours: float
    bytes_over_ours: float


def main() -> None:
    """Measure all encoders and write the results."""
    photographs = list(_photographs())
    pixels = sum(photograph.shape[0] * photograph.shape[1] for photograph in photographs)
    seconds = dict.fromkeys(_encoders(), float("inf"))
    for _ in range(REPEATS):
        for name, encode in _encoders().items():
            seconds[name] = min(seconds[name], _seconds(encode, photographs))
    sizes = {name: _checked_size(encode, photographs) for name, encode in _encoders().items()}
    ours = next(iter(seconds))
    rows = [
        Row(
            name,
            round(pixels / 1e6 / seconds[name], 1),
            round(sizes[name] / pixels, 3),
            round(seconds[name] / seconds[ours], 2),
            round(sizes[name] / sizes[ours], 3),
        )
        for name in seconds
    ]
    write_table(rows, RESULTS)


def _encoders() -> dict[str, Encoder]:
    """Return the encoders by name, ours first."""
    return {
        "tasks.codec.formats.png": lambda pixels: write_png(pixels, Metadata()),
        "Pillow, level 1": partial(_by_pillow, level=1),
        "Pillow, level 6": partial(_by_pillow, level=6),
        "imagecodecs libpng, level 1": partial(_by_libpng, level=1),
        "imagecodecs libpng, level 1, filter up": partial(_by_libpng, level=1, filter=_UP),
        "imagecodecs libpng, run lengths, filter sub": partial(
            _by_libpng, level=1, strategy=_RLE, filter=_SUB
        ),
        "imagecodecs libspng, level 1": lambda pixels: bytes(imagecodecs.spng_encode(pixels, level=1)),
    }


def _by_pillow(pixels: Pixels, level: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def _by_libpng(pixels: Pixels, **options: int) -> bytes:
    return bytes(imagecodecs.png_encode(pixels, **options))


def _photographs() -> Iterator[Pixels]:
    folder = Path(skimage.__file__).parent / "data"
    for path in sorted([*folder.glob("*.png"), *folder.glob("*.jpg")]):
        with Image.open(path) as image:
            if image.mode != "RGB":
                continue
            yield np.array(image)
            yield np.array(image.filter(ImageFilter.GaussianBlur(1)))


def _seconds(encode: Encoder, photographs: list[Pixels]) -> float:
    started = time.thread_time()
    for photograph in photographs:
        encode(photograph)
    return time.thread_time() - started


def _checked_size(encode: Encoder, photographs: list[Pixels]) -> int:
    size = 0
    for photograph in photographs:
        data = encode(photograph)
        with Image.open(io.BytesIO(data)) as read:
            if not np.array_equal(np.asarray(read), photograph):
                raise SystemExit("an encoder changed the pixels")
        size += len(data)
    return size


if __name__ == "__main__":
    main()

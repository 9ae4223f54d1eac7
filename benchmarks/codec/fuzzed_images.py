"""Damaged images for the decoder (`fuzzed`): good images with flipped bits, false lengths or missing parts."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
from PIL import Image

Mutation = Callable[[np.random.Generator, bytes, list[bytes]], bytes]

_HEAD = 200
"""Length of the part, in bytes, in which formats store sizes, depths and tables."""
_EXTREMES = (0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def good_images() -> dict[str, bytes]:
    """Return small files of every format that can be read, in several layouts, by name."""
    rgb = Image.fromarray(_photograph(48, 64))
    grey, rgba, ink = rgb.convert("L"), rgb.convert("RGBA"), rgb.convert("CMYK")
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    return {
        "baseline.jpg": _encoded(rgb, "JPEG", restart_marker_blocks=3),
        "progressive.jpg": _encoded(rgb, "JPEG", progressive=True),
        "cmyk.jpg": _encoded(ink, "JPEG"),
        "colour.png": _encoded(rgb, "PNG", dpi=(72, 72)),
        "palette.png": _encoded(rgb.quantize(16), "PNG", transparency=3),
        "deep.png": _encoded(deep, "PNG"),
        "alpha.png": _encoded(rgba, "PNG"),
        "lossy.webp": _encoded(rgb, "WEBP"),
        "lossless.webp": _encoded(rgba, "WEBP", lossless=True),
        "raw.tif": _encoded(rgb, "TIFF"),
        "lzw.tif": _encoded(rgb, "TIFF", compression="tiff_lzw"),
        "deflate.tif": _encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
        "jpeg.tif": _encoded(rgb, "TIFF", compression="jpeg"),
        "fax.tif": _encoded(grey.convert("1"), "TIFF", compression="group4"),
        "colour.bmp": _encoded(rgb, "BMP"),
        "palette.bmp": _encoded(rgb.quantize(16), "BMP"),
        "still.gif": _encoded(rgb, "GIF"),
        "colour.ppm": _encoded(rgb, "PPM"),
        "colour.jp2": _encoded(rgb, "JPEG2000"),
        "colour.avif": _encoded(rgb, "AVIF"),
    }


def fuzzed(number: int, images: dict[str, bytes]) -> tuple[str, bytes]:
    """Return the name of a good image and a damaged version of it, which depends on the number alone."""
    generator = np.random.default_rng([14, number])
    name = sorted(images)[number % len(images)]
    data = images[name]
    for _ in range(int(generator.integers(1, 4))):
        mutation = _MUTATIONS[int(generator.integers(len(_MUTATIONS)))]
        data = mutation(generator, data, list(images.values())) or data[:1]
    return name, data


def _flip_bits(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    damaged = bytearray(data)
    end = min(len(data), _HEAD) if generator.random() < 0.5 else len(data)
    for place in generator.integers(0, end, int(generator.integers(1, 12))):
        damaged[place] ^= 1 << int(generator.integers(8))
    return bytes(damaged)


def _fake_lengths(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    """Set a number in the head to an extreme, in either byte order."""
    value = _EXTREMES[int(generator.integers(len(_EXTREMES)))]
    number = struct.pack(("<" if generator.random() < 0.5 else ">") + "I", value)
    number = number[: 2 if generator.random() < 0.5 else 4]
    place = int(generator.integers(0, min(len(data), _HEAD)))
    return data[:place] + number + data[place + len(number) :]


def _cut_short(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    return data[: int(generator.integers(0, len(data) + 1))]


def _take_out(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start, end = sorted(int(place) for place in generator.integers(0, len(data) + 1, 2))
    return data[:start] + data[end:]


def _repeat(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start, end = sorted(int(place) for place in generator.integers(0, len(data) + 1, 2))
    return data[:end] + data[start:end] * int(generator.integers(1, 4)) + data[end:]


def _put_noise(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    start = int(generator.integers(0, len(data) + 1))
    noise = generator.bytes(int(generator.integers(1, 256)))
    return data[:start] + noise + data[start + len(noise) :]


def _splice(generator: np.random.Generator, data: bytes, others: list[bytes]) -> bytes:
    other = others[int(generator.integers(len(others)))]
    return data[: int(generator.integers(0, len(data)))] + other[int(generator.integers(0, len(other))) :]


_MUTATIONS: tuple[Mutation, ...] = (
    _flip_bits,
    _fake_lengths,
    _cut_short,
    _take_out,
    _repeat,
    _put_noise,
    _splice,
)


def _photograph(height: int, width: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [rows * 200 // height, columns * 200 // width, (rows + columns) * 200 // (height + width)]
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return (np.stack(planes, axis=2) + noise).astype(np.uint8)


def _encoded(image: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()

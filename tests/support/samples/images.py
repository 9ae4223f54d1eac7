"""Small encoded pictures for the tests of the image codec."""

from __future__ import annotations

import io
import struct
import zlib
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

LIMIT = 10_000_000


def photo(height: int = 24, width: int = 16, seed: int = 0) -> np.ndarray:
    """Return smooth colours with a little noise, (height, width, 3), which compress like a photograph."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    planes = [rows * 200 // height, columns * 200 // width, (rows + columns) * 200 // (height + width)]
    return (np.stack(planes, axis=2) + generator.integers(0, 40, (height, width, 3))).astype(np.uint8)


def picture(mode: str, **size: int) -> Image.Image:
    image = Image.fromarray(photo(**size))
    if mode in ("LA", "RGBA"):
        image = image.convert(mode)
        image.putalpha(Image.fromarray(photo(seed=1, **size)[..., 0]))
        return image
    return image.convert(mode)


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def reopened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def exif_block(orientation: int = 1) -> bytes:
    exif = Image.Exif()
    exif[0x010F] = "Camera maker"
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x829A] = 0.25
    exif.get_ifd(0x8825)[1] = "N"
    return exif.tobytes()


@cache
def srgb_profile() -> bytes:
    """Return an sRGB profile; always the same one, since a profile contains the second of its creation."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def labelled_profile(colour_space: bytes) -> bytes:
    """Return a profile whose header claims another colour space."""
    profile = bytearray(srgb_profile())
    profile[16:20] = colour_space
    return bytes(profile)


def png_of(samples: np.ndarray, colour_type: int, depth: int = 16, transparent: bytes = b"") -> bytes:
    """Return a PNG of a kind that Pillow does not write, from rows of 16-bit samples or of packed bytes."""
    height = samples.shape[0]
    width = samples.shape[1] if depth == 16 else samples.shape[1] * 8 // depth
    rows = samples.astype(">u2") if depth == 16 else samples
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    key = png_chunk(b"tRNS", transparent) if transparent else b""
    chunks = [png_chunk(b"IHDR", header), key, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def samples() -> dict[str, bytes]:
    """Return one file per format that can be read, and per layout within a format."""
    rgb, grey = picture("RGB"), picture("L")
    frames = {"save_all": True, "append_images": [picture("RGB", seed=3)]}
    return {
        "baseline.jpg": encoded(rgb, "JPEG", exif=exif_block(6), icc_profile=srgb_profile(), dpi=(72, 72)),
        "progressive.jpg": encoded(rgb, "JPEG", progressive=True),
        "cmyk.jpg": encoded(picture("CMYK"), "JPEG"),
        "colour.png": encoded(rgb, "PNG", exif=exif_block(8), icc_profile=srgb_profile()),
        "palette.png": encoded(rgb.quantize(16), "PNG", transparency=3),
        "deep.png": encoded(Image.fromarray(photo()[..., 0].astype(np.uint16) * 257), "PNG"),
        "animated.png": encoded(rgb, "PNG", **frames),
        "lossy.webp": encoded(rgb, "WEBP", exif=exif_block(3)),
        "lossless.webp": encoded(picture("RGBA"), "WEBP", lossless=True),
        "animated.webp": encoded(rgb, "WEBP", **frames),
        "raw.tif": encoded(rgb, "TIFF", exif=exif_block(5)),
        "lzw.tif": encoded(grey, "TIFF", compression="tiff_lzw"),
        "pages.tif": encoded(rgb, "TIFF", **frames),
        "colour.bmp": encoded(rgb, "BMP"),
        "still.gif": encoded(rgb, "GIF"),
        "animated.gif": encoded(rgb, "GIF", **frames),
        "colour.ppm": encoded(rgb, "PPM"),
        "colour.jp2": encoded(rgb, "JPEG2000"),
        "colour.avif": encoded(rgb, "AVIF"),
    }

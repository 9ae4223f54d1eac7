"""Conversion of any pixel layout to one of four (`to_plain_mode`): L, LA, RGB or RGBA of eight bits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from tasks.codec.pictures import not_supported

_CONVERSIONS = {
    "1": "L",
    "L": "L",
    "La": "LA",
    "LA": "LA",
    "PA": "RGBA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
}
_LAYOUTS = {"F": "floating-point samples", "I": "samples of more than 16 bits", "LAB": "LAB colours"}
_BITS_PER_SAMPLE, _PHOTOMETRIC = 258, 262
_GREY_WITH_ALPHA = 4


def to_plain_mode(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded image in mode L, LA, RGB or RGBA.

    Parameters
    ----------
    image
        An image with loaded pixels.
    data
        The file; the header of a PNG has depth and colour type, which Pillow's mode does not show.

    Raises
    ------
    ImageRejected
        For wide integers, floats and LAB.
    """
    key = image.info.get("transparency")
    # Only a PGM of more than eight bits is both "I" and 16 bits wide.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        return _from_sixteen_bits(image, key)
    if image.mode == "P":
        return image.convert("RGBA" if key is not None else "RGB")
    if image.mode not in _CONVERSIONS:
        raise not_supported(_LAYOUTS.get(image.mode, f"samples of the kind {image.mode}"))
    plain = image.convert(_CONVERSIONS[image.mode]) if image.mode != _CONVERSIONS[image.mode] else image
    depth, colour_type = _png_layout(image, data)
    if colour_type == _GREY_WITH_ALPHA and plain.mode == "RGBA":
        return plain.convert("LA")  # Pillow reads 16-bit grey with alpha as colour
    if image.format == "BMP" and plain.mode == "RGBA" and not plain.getchannel("A").getbbox():
        return plain.convert("RGB")  # an unused channel: viewers show such a picture, too
    if key is None or plain.mode not in ("L", "RGB"):
        return plain
    return _with_keyed_alpha(plain, _key_in_eight_bits(key, depth))


def _from_sixteen_bits(image: Image.Image, key: int | None) -> Image.Image:
    wide: npt.NDArray[np.generic] = np.asarray(image)
    samples = wide.astype(np.uint16)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    high = (samples >> (bits - 8)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == 0:
        high = 255 - high  # white is zero: Pillow inverts only narrower samples
    plain = Image.fromarray(high)
    if key is not None:
        plain.putalpha(Image.fromarray(np.where(samples == key, 0, 255).astype(np.uint8)))
    return plain


def _png_layout(image: Image.Image, data: bytes) -> tuple[int, int | None]:
    if image.format == "PNG" and data[12:16] == b"IHDR":
        return data[24], data[25]
    return 8, None


def _key_in_eight_bits(key: int | tuple[int, ...], depth: int) -> list[int]:
    # The transparent colour has the file's own depth. Pillow keeps it so, except for one bit.
    levels = [key] if isinstance(key, int) else list(key)
    return levels if depth == 1 else [level * 255 // (2**depth - 1) for level in levels]


def _with_keyed_alpha(plain: Image.Image, key: list[int]) -> Image.Image:
    pixels = np.asarray(plain)
    samples = pixels.reshape(*pixels.shape[:2], -1)
    transparent = (samples == np.array(key)).all(axis=2)
    result = plain.copy()
    result.putalpha(Image.fromarray(np.where(transparent, 0, 255).astype(np.uint8)))
    return result

"""Derained pixels back to bytes, in the form that their source came in."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tasks.codec.bmp import write_bmp_with_alpha
from tasks.codec.exports import Export, target_format
from tasks.codec.pictures import Picture, PictureForm, Pixels
from tasks.codec.png import PngMetadata, write_png
from tasks.codec.tiff import TiffOptions, write_tiff

_FULL_CHROMA = 0
_EXIF_PREFIX = b"Exif\0\0"
_JPEG_SEGMENT = 65_533
_JPEG_PROFILE = 255 * (_JPEG_SEGMENT - 14)  # segments are numbered in one byte


def encode(rgb: Pixels, picture: Picture, export: Export) -> bytes:
    """Write derained pixels, the same bytes for the same pixels every time.

    Parameters
    ----------
    rgb
        (H, W, 3), the derained version of `picture.rgb`. A grey source is averaged back to grey (BT.601).
    picture
        The source: its alpha, form and metadata go to the output.
    export
        The format to write.

    Raises
    ------
    ImageRejected
        When the format cannot hold the picture.
    ValueError
        When the pixels are not of the picture's size and type.
    """
    if rgb.shape != picture.rgb.shape or rgb.dtype != np.uint8:
        raise ValueError(f"derained pixels are {rgb.dtype} {rgb.shape}, not uint8 {picture.rgb.shape}")
    target = target_format(picture, export)
    return _WRITERS[target](rgb, picture, export.quality)


def _image(rgb: Pixels, picture: Picture) -> Image.Image:
    image = Image.fromarray(rgb)
    if picture.form.mode in ("L", "LA"):
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _pixels(rgb: Pixels, picture: Picture) -> Pixels:
    if picture.form.mode == "RGB":
        return rgb
    return np.asarray(_image(rgb, picture))


def _write_png(rgb: Pixels, picture: Picture, quality: int) -> bytes:
    form = picture.form
    return write_png(_pixels(rgb, picture), PngMetadata(form.icc_profile, form.exif, form.dpi))


def _write_tiff(rgb: Pixels, picture: Picture, quality: int) -> bytes:
    form = picture.form
    options = TiffOptions(form.icc_profile, form.exif, form.dpi, form.compressed)
    return write_tiff(_pixels(rgb, picture), options)


def _write_bmp(rgb: Pixels, picture: Picture, quality: int) -> bytes:
    if picture.alpha is not None:
        return write_bmp_with_alpha(_pixels(rgb, picture), picture.form.dpi)
    dpi = {"dpi": picture.form.dpi} if picture.form.dpi else {}
    return _save(_image(rgb, picture), "BMP", dpi)


def _write_webp(rgb: Pixels, picture: Picture, quality: int) -> bytes:
    form = picture.form
    options: dict[str, Any] = {"quality": quality, "lossless": form.lossless, "exact": form.lossless}
    if form.lossless:
        options["quality"] = 50  # of lossless WebP it is the effort, not the fidelity
    if form.icc_profile is not None:
        options["icc_profile"] = form.icc_profile
    if form.exif is not None:
        options["exif"] = form.exif
    return _save(_image(rgb, picture), "WEBP", options)


def _write_jpeg(rgb: Pixels, picture: Picture, quality: int) -> bytes:
    image = _on_white(_image(rgb, picture))
    options = {"quality": quality, "subsampling": _subsampling(picture.form), **_jpeg_metadata(picture.form)}
    if picture.form.progressive:
        try:
            return _save(image, "JPEG", {**options, "progressive": True})
        except OSError:
            # Pillow gives a progressive file a byte a pixel of room; pure noise needs more. Same pixels.
            pass
    return _save(image, "JPEG", options)


def _subsampling(form: PictureForm) -> int:
    # Samplings that Pillow cannot write (-1: 4:4:0, 4:1:1) and other formats keep all the chroma they have.
    return _FULL_CHROMA if form.subsampling in (None, -1) else form.subsampling or 0


def _jpeg_metadata(form: PictureForm) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    if form.dpi is not None:
        metadata["dpi"] = form.dpi
    if form.exif is not None and len(_EXIF_PREFIX + form.exif) <= _JPEG_SEGMENT:
        metadata["exif"] = _EXIF_PREFIX + form.exif
    if form.icc_profile is not None and len(form.icc_profile) <= _JPEG_PROFILE:
        metadata["icc_profile"] = form.icc_profile
    return metadata


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    opaque = image.convert(image.mode[:-1])
    white = Image.new(opaque.mode, image.size, "white")
    white.paste(opaque, mask=image.getchannel("A"))
    return white


def _save(image: Image.Image, name: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


_WRITERS: dict[str, Callable[[Pixels, Picture, int], bytes]] = {
    "BMP": _write_bmp,
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "TIFF": _write_tiff,
    "WEBP": _write_webp,
}

"""The encoder of derained pixels (`encode`), which keeps the form of the source."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from models.images import RgbImage
from tasks.codec.exports import Export, target_format
from tasks.codec.formats.bmp import write_bmp_with_alpha
from tasks.codec.formats.png import write_png
from tasks.codec.formats.tiff import write_tiff
from tasks.codec.forms import IPTC_RESOURCE
from tasks.codec.metadata.carrying import carry
from tasks.codec.pictures import Metadata, Picture, PictureForm

_FULL_CHROMA = 0
_EXIF_PREFIX = b"Exif\0\0"


def encode(rgb: RgbImage, picture: Picture, export: Export) -> bytes:
    """Encode derained pixels; equal pixels always give equal bytes.

    Parameters
    ----------
    rgb
        (H, W, 3), the derained version of `picture.rgb`. A grey source is averaged back to grey (BT.601).
    picture
        The source, whose alpha, form and metadata are carried over to the output.
    export
        The format to write.

    Raises
    ------
    ImageRejected
        If the format cannot hold the picture.
    ValueError
        If the pixels do not have the picture's size and type.
    """
    if rgb.shape != picture.rgb.shape or rgb.dtype != np.uint8:
        raise ValueError(f"derained pixels are {rgb.dtype} {rgb.shape}, not uint8 {picture.rgb.shape}")
    target = target_format(picture, export)
    metadata, _ = carry(picture.form, target)
    return _WRITERS[target](rgb, picture, metadata, export.quality)


def dropped(picture: Picture, export: Export) -> tuple[str, ...]:
    """Return, in words, the contents of the source besides pixels that the output lacks.

    Raises
    ------
    ImageRejected
        If the format cannot hold the picture.
    """
    return carry(picture.form, target_format(picture, export))[1]


def _image(rgb: RgbImage, picture: Picture) -> Image.Image:
    image = Image.fromarray(rgb)
    if picture.form.mode in ("L", "LA"):
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    return image


def _pixels(rgb: RgbImage, picture: Picture) -> RgbImage:
    if picture.form.mode == "RGB":
        return rgb
    return np.asarray(_image(rgb, picture))


def _write_png(rgb: RgbImage, picture: Picture, metadata: Metadata, quality: int) -> bytes:
    return write_png(_pixels(rgb, picture), metadata)


def _write_tiff(rgb: RgbImage, picture: Picture, metadata: Metadata, quality: int) -> bytes:
    return write_tiff(_pixels(rgb, picture), metadata, compressed=picture.form.compressed)


def _write_bmp(rgb: RgbImage, picture: Picture, metadata: Metadata, quality: int) -> bytes:
    if picture.alpha is not None:
        return write_bmp_with_alpha(_pixels(rgb, picture), metadata.dpi)
    dpi = {"dpi": metadata.dpi} if metadata.dpi else {}
    return _save(_image(rgb, picture), "BMP", dpi)


def _write_webp(rgb: RgbImage, picture: Picture, metadata: Metadata, quality: int) -> bytes:
    lossless = picture.form.lossless
    options: dict[str, Any] = {"quality": quality, "lossless": lossless, "exact": lossless}
    if lossless:
        options["quality"] = 50  # for lossless WebP this is the effort, not the fidelity
    for name in ("icc_profile", "exif", "xmp"):
        if getattr(metadata, name) is not None:
            options[name] = getattr(metadata, name)
    return _save(_image(rgb, picture), "WEBP", options)


def _write_jpeg(rgb: RgbImage, picture: Picture, metadata: Metadata, quality: int) -> bytes:
    image = _on_white(_image(rgb, picture))
    options = {"quality": quality, "subsampling": _subsampling(picture.form), **_jpeg_options(metadata)}
    if picture.form.progressive:
        try:
            return _save(image, "JPEG", {**options, "progressive": True})
        except OSError:
            # Pillow reserves one byte per pixel for a progressive file; noise needs more. The pixels are the same.
            pass
    return _save(image, "JPEG", options)


def _subsampling(form: PictureForm) -> int:
    # Samplings that Pillow cannot write (-1: 4:4:0, 4:1:1) and other formats keep full chroma.
    return _FULL_CHROMA if form.subsampling in (None, -1) else form.subsampling or 0


def _jpeg_options(metadata: Metadata) -> dict[str, Any]:
    wanted = {
        "dpi": metadata.dpi,
        "exif": None if metadata.exif is None else _EXIF_PREFIX + metadata.exif,
        "icc_profile": metadata.icc_profile,
        "xmp": metadata.xmp,
        "comment": metadata.comment,
        "extra": None if metadata.iptc is None else _iptc_segment(metadata.iptc),
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _iptc_segment(iptc: bytes) -> bytes:
    resource = struct.pack(">4sHHI", b"8BIM", IPTC_RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)
    body = b"Photoshop 3.0\0" + resource
    return struct.pack(">HH", 0xFFED, 2 + len(body)) + body


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


_WRITERS: dict[str, Callable[[RgbImage, Picture, Metadata, int], bytes]] = {
    "BMP": _write_bmp,
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "TIFF": _write_tiff,
    "WEBP": _write_webp,
}

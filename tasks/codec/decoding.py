"""Bytes of a photograph to pixels, with every fault of the image told as `ImageRejected`."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable

import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
from PIL.ImageFile import ImageFile

from tasks.codec.claims import require_plausible_size
from tasks.codec.forms import describe
from tasks.codec.normalising import to_plain_mode
from tasks.codec.pictures import ImageRejected, Picture
from tasks.codec.sniff import identify
from tasks.codec.truncation import is_cut_short, lacks_codestream_end

# The readers themselves, not Image.open: that one checks sizes against a limit shared by the whole process,
# tries every format in turn, and takes a camera's JPEG with further pictures (MPO) for an animation.
_READERS: dict[str, Callable[[io.BytesIO], ImageFile]] = {
    "AVIF": AvifImagePlugin.AvifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "JPEG2000": Jpeg2KImagePlugin.Jpeg2KImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_IMAGE_WIDTH, _IMAGE_LENGTH = 256, 257
_DNG_VERSION, _SUBFILE_TYPE = 50706, 254
_PILLOW_WARNINGS = r"PIL\."
_HUSHED = ("ignore", None, Warning, re.compile(_PILLOW_WARNINGS), 0)


def decode(data: bytes, max_pixels: int) -> Picture:
    """Decode one photograph, upright and in eight bits.

    Parameters
    ----------
    data
        The whole file. What it is, its content tells.
    max_pixels
        The limit against decompression bombs, checked on the header before pixels are decoded.

    Raises
    ------
    ImageRejected
        For every fault of the image, with a short plain reason.
    MemoryError
        A fault of the machine: not a word about the image.
    """
    _hush_pillow()
    name = identify(data)
    try:
        return _read(data, name, max_pixels)
    except (ImageRejected, MemoryError):
        raise
    except Image.DecompressionBombError as fault:
        raise ImageRejected(f"more pixels than Pillow reads of a {name}") from fault
    except Exception as fault:
        # Readers raise whatever a flipped bit provokes: OSError, SyntaxError, struct.error, KeyError, ...
        kind = "truncated" if is_cut_short(data, name, fault) else "damaged"
        raise ImageRejected(f"{kind} {name}") from fault


def claimed_pixels(data: bytes) -> int:
    """Return the height times the width that a header claims, without decoding; 0 where `decode` rejects the file.

    Raises
    ------
    MemoryError
        A fault of the machine.
    """
    _hush_pillow()
    try:
        name = identify(data)
        image = _READERS[name](io.BytesIO(data))
        require_plausible_size(image, data, name)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - `decode` meets the same fault, and reports it
        return 0
    return image.size[0] * image.size[1]


def _read(data: bytes, name: str, max_pixels: int) -> Picture:
    image = _READERS[name](io.BytesIO(data))
    _check_size(image.size, max_pixels)
    require_plausible_size(image, data, name)
    _check_single(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        _give_room(image)
    if name == "JPEG2000" and lacks_codestream_end(data):
        raise ImageRejected("truncated JPEG2000")
    image.load()
    # Some headers tell the true size only with the pixels.
    _check_size(image.size, max_pixels)
    plain = to_plain_mode(image, data)
    upright, form = describe(image, data, plain.mode)
    turned = plain.transpose(_TURNS[upright]) if upright in _TURNS else plain
    return Picture(*_split(turned), form)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    pixels = size[0] * size[1]
    if pixels <= 0:
        raise ImageRejected("no pixels")
    if pixels > max_pixels:
        raise ImageRejected(f"{_megapixels(pixels)} megapixels, over the limit of {_megapixels(max_pixels)}")


def _megapixels(pixels: int) -> str:
    return f"{pixels / 1e6:.0f}" if pixels >= 10_000_000 else f"{pixels / 1e6:.3g}"


def _check_single(image: ImageFile) -> None:
    if isinstance(image, TiffImagePlugin.TiffImageFile) and (
        _DNG_VERSION in image.tag_v2 or image.tag_v2.get(_SUBFILE_TYPE, 0) & 1
    ):
        # What a TIFF reader finds in these is the thumbnail.
        raise ImageRejected("raw camera file, not supported")
    if getattr(image, "is_animated", False):
        frames = getattr(image, "n_frames", 0)
        raise ImageRejected(f"{frames} pages" if image.format == "TIFF" else f"animated ({frames} frames)")


def _give_room(image: TiffImagePlugin.TiffImageFile) -> None:
    # Where there is room already, the reader does not hold the size against Pillow's process-wide limit.
    stored = (image.tag_v2[_IMAGE_WIDTH], image.tag_v2[_IMAGE_LENGTH])  # as it lies, not as it is turned
    image.im = Image.new(image.mode, stored).im


def _split(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    # np.array, not np.asarray: torch takes only arrays that it may write to.
    rgb = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return rgb, np.array(image.getchannel("A")) if "A" in image.mode else None


def _hush_pillow() -> None:
    # Odd metadata makes Pillow warn, which concerns nobody here, and where warnings are errors it would
    # reject a good image. catch_warnings is not safe between threads; one lasting filter is.
    if _HUSHED not in warnings.filters[:1]:
        warnings.filterwarnings("ignore", module=_PILLOW_WARNINGS)

"""PIL images as upright RGB pixels (`upright_rgb`), for `models.photographs`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from models.errors import ModelError

if TYPE_CHECKING:
    from PIL import Image

CARRIED = ("icc_profile", "exif", "dpi")
"""Entries of `PIL.Image.Image.info` that describe the pixels and that `save` accepts for every usual format."""
_BITS_PER_SAMPLE, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0
_UNBOUNDED = {"I": "integers of 32 bits", "F": "floats"}


class PhotographRefused(ModelError, ValueError):
    """Raised if the argument is not a photograph that can be derained; the message names what is accepted."""


def read_upright(path: str | Path) -> Image.Image:
    """Open a file and return its upright RGB pixels; see `upright_rgb`.

    Raises
    ------
    PhotographRefused
        If the file cannot be read as an image, or is a folder or a URL; the message names it.
    FileNotFoundError
        If there is no such file.
    """
    from PIL import Image, UnidentifiedImageError

    if "://" in str(path):
        raise PhotographRefused(f"{path}: derain takes local files; for buckets, use the command derain")
    file = Path(path).expanduser()
    if file.is_dir():
        raise PhotographRefused(
            f"{path}: a folder; derain takes one file, and the command derain takes folders"
        )
    try:
        with Image.open(file) as opened:
            return upright_rgb(opened)
    except PhotographRefused as error:
        raise PhotographRefused(f"{path}: {error}") from error
    except UnidentifiedImageError as error:
        raise PhotographRefused(
            f"{path}: not an image that Pillow can read; convert HEIC and raw files first"
        ) from error
    except (FileNotFoundError, PermissionError):
        raise
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow's errors name no file
        raise PhotographRefused(f"{path}: {error}") from error


def upright_rgb(image: Image.Image) -> Image.Image:
    """Apply the orientation, and reduce the pixels to RGB of 8 bits; an alpha channel is dropped.

    The result's `info` has the entries of `CARRIED` that apply to it.

    Raises
    ------
    PhotographRefused
        If the range of the pixels is unknown.
    """
    from PIL import Image, ImageOps

    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16") or (turned.mode == "I" and image.format == "PPM"):
        plain = Image.fromarray(_upper_bytes(turned, getattr(image, "tag_v2", {}))).convert("RGB")
    elif turned.mode in _UNBOUNDED:
        raise PhotographRefused(
            f"an image of {_UNBOUNDED[turned.mode]} (mode {turned.mode}) has no known range; pass an RGB array"
        )
    else:
        plain = (turned.convert("LA") if turned.mode == "La" else turned).convert("RGB")
    profile = turned.info.get("icc_profile") or b""
    plain.info = {name: turned.info[name] for name in CARRIED if turned.info.get(name)}
    if profile[16:20] != b"RGB ":  # a profile of other colours would distort these
        plain.info.pop("icc_profile", None)
    return plain


def _upper_bytes(image: Image.Image, tags: Mapping[int, Any]) -> npt.NDArray[np.uint8]:
    """Return the upper eight bits of wide grey, as the command does; `tags` are those of a TIFF."""
    bits = tags.get(_BITS_PER_SAMPLE, (16,))[0]
    grey: npt.NDArray[np.uint8] = (np.asarray(image).astype(np.uint16) >> (bits - 8)).astype(np.uint8)
    return 255 - grey if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO else grey

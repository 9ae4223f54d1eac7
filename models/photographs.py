"""Derain photographs from Python, without a workspace.

    from models import derain

    derained = derain("rainy.jpg")
    derained.save("derained.jpg", **derained.info)

The first call imports PyTorch, so that importing this module is cheap.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from models.pictures import PhotographRefused, read_upright, upright_rgb
from models.shipped import DEFAULT, network_path

if TYPE_CHECKING:
    from PIL import Image

    from models.engine import Engine

Scalar = TypeVar("Scalar", np.uint8, np.float16, np.float32, np.float64)


@overload
def derain(image: str | Path, model: str | Path = ..., device: str = ...) -> Image.Image: ...
@overload
def derain(image: Image.Image, model: str | Path = ..., device: str = ...) -> Image.Image: ...
@overload
def derain(image: npt.NDArray[Scalar], model: str | Path = ..., device: str = ...) -> npt.NDArray[Scalar]: ...
def derain(
    image: str | Path | Image.Image | npt.NDArray[Any],
    model: str | Path = DEFAULT,
    device: str = "auto",
) -> Image.Image | npt.NDArray[Any]:
    """Derain a photograph, or a batch of photographs of one size.

    The first call loads the network; later calls reuse it.

    Parameters
    ----------
    image : str, Path, PIL.Image.Image or ndarray
        Path of an image file; a PIL image; or an RGB array (H, W, 3) or (B, H, W, 3), either uint8 or floats in
        [0, 1]. Floats are rounded to 8 bits, and out-of-range values are clipped.
    model : str or Path
        Name of a network that ships (`student-large`, `student-small`, ...), or path of a weights file.
    device : str
        `auto` (a GPU if there is one), `cpu`, `cuda` or `cuda:N`.

    Returns
    -------
    PIL.Image.Image or ndarray
        A PIL image (RGB, upright) for a path or a PIL image; its `info` has the colour profile, the EXIF (not of a
        TIFF) and the resolution, for `save(path, **derained.info)`. For an array, a new array of its shape and
        dtype.

    Raises
    ------
    PhotographRefused
        If `image` is none of these, or cannot be read.
    FileNotFoundError
        If there is no such image file.
    ModelError
        If there is no such network, or the weights file cannot be used.
    ValueError
        If there is no such device.
    """
    if isinstance(image, np.ndarray):
        return _derained_array(image, _engine(network_path(model), device))
    picture = _picture(image)
    return _derained_picture(picture, _engine(network_path(model), device))


@functools.lru_cache(maxsize=2)
def _engine(path: Path, device: str) -> Engine:
    """Load a network once per process."""
    from models.modelfile import read_model_file
    from models.opening import open_engine

    return open_engine(read_model_file(path), device, path.stem)


def _derained_array(image: npt.NDArray[Any], engine: Engine) -> npt.NDArray[Any]:
    levels = _levels(image)
    batch = levels if levels.ndim == 4 else levels[None]
    starts = range(0, len(batch), engine.batch_images)
    parts = [engine.derain(batch[start : start + engine.batch_images]) for start in starts]
    derained = np.concatenate(parts).reshape(image.shape)
    return derained if image.dtype == np.uint8 else (derained / 255).astype(image.dtype)


def _levels(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Check an array and return it as uint8."""
    if image.ndim not in (3, 4) or image.shape[-1] != 3 or 0 in image.shape:
        raise PhotographRefused(
            f"an array of shape {image.shape}: derain takes RGB arrays (H, W, 3) or (B, H, W, 3)"
            " with at least one pixel"
        )
    if image.dtype == np.uint8:
        return image
    if not np.issubdtype(image.dtype, np.floating):
        raise PhotographRefused(f"an array of {image.dtype}: derain takes uint8, or floats in [0, 1]")
    if not np.isfinite(image).all():
        raise PhotographRefused("the array holds NaN or infinite values")
    if image.max() > 2:
        raise PhotographRefused(
            f"floats up to {image.max():g}: derain takes floats in [0, 1]; divide by 255, or pass uint8"
        )
    levels: npt.NDArray[np.uint8] = (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
    return levels


def _picture(image: str | Path | Image.Image) -> Image.Image:
    from PIL import Image

    if isinstance(image, Image.Image):
        return upright_rgb(image)
    if isinstance(image, str | Path):
        return read_upright(image)
    raise PhotographRefused(
        f"{type(image).__name__}: derain takes a path, a PIL image or an array (H, W, 3) or (B, H, W, 3)"
    )


def _derained_picture(picture: Image.Image, engine: Engine) -> Image.Image:
    from PIL import Image

    derained = Image.fromarray(engine.derain(np.array(picture)[None])[0])
    derained.info = dict(picture.info)
    return derained

"""Engines of model files (`open_engine`)."""

from __future__ import annotations

from models.engine import TILE_PIXELS, Engine, choose_device, fast_dtype
from models.modelfile import ModelFile, build


def open_engine(
    model_file: ModelFile, device: str, name: str = "model", tile_pixels: int = TILE_PIXELS
) -> Engine:
    """Build the network of a model file, ready to derain in the fastest precision of a device.

    Parameters
    ----------
    model_file : ModelFile
        Weights and config.
    device : str
        `auto`, `cpu`, `cuda` or `cuda:N`.
    name : str
        Name of the model in error messages.
    tile_pixels : int
        See `Engine`.

    Raises
    ------
    ModelFileInvalid
        If the model file cannot be used.
    ValueError
        If there is no such device.
    """
    chosen = choose_device(device)
    return Engine(build(model_file, name), chosen, fast_dtype(chosen), tile_pixels)

"""Sample photographs for a first run (`make_samples`): images of scikit-image with procedural rain."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from infra.storage.location import local_home, open_location
from models.rain.streaks import BOLD, FINE, MEDIUM, StreakFamily, procedural_layer
from models.rng import SampleRng

SAMPLES = ("astronaut", "chelsea", "coffee", "motorcycle_left", "rocket")
"""Colour photographs included in scikit-image."""
PHOTOGRAPHS = tuple(sorted((*SAMPLES, "brick", "camera", "coins", "grass", "gravel")))
"""The samples and five grey photographs of scikit-image."""
SAMPLE_SEED = 2026


def make_samples(workspace: str) -> tuple[str, str]:
    """Write rainy samples if there are none; return their folder and the folder for derained ones.

    Parameters
    ----------
    workspace : str
        Samples are stored below it, or below `./var` if it is remote.

    Returns
    -------
    tuple of str
        Source and destination: two local folders.

    Raises
    ------
    ObjectNotFound, AccessDenied, KeyRefused, StorageError
        If they cannot be written.
    """
    home = local_home(workspace)
    rainy = home / "samples" / "rainy"
    for number, name in enumerate(SAMPLES):
        target = rainy / f"{name}.png"
        if not target.exists():
            write_picture(target, rain_on(photograph(name), number))
    return str(rainy), str(home / "samples" / "derained")


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write a uint8 picture as PNG, atomically.

    Raises
    ------
    ObjectNotFound, AccessDenied, KeyRefused, StorageError
        If it cannot be written.
    """
    open_location(str(path.parent)).put(path.name, as_png(pixels))


def as_png(pixels: np.ndarray) -> bytes:
    """Encode a uint8 picture."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def rain_on(
    clean: np.ndarray, number: int, families: tuple[StreakFamily, ...] = (FINE, MEDIUM, BOLD)
) -> np.ndarray:
    """Add procedural rain to a uint8 photograph (H, W, 3); `number` selects the rain."""
    rng = SampleRng(SAMPLE_SEED, torch.tensor([number]))
    size = (clean.shape[0], clean.shape[1])
    angle = rng.uniform(-0.4, 0.4)
    layers = [procedural_layer(rng, family, angle, size) for family in families]
    streaks = torch.stack(layers).sum(0).clamp(0, 1)[0, 0].numpy()
    rainy: np.ndarray = np.clip(clean + 255 * streaks[..., None], 0, 255).round().astype(np.uint8)
    return rainy


def photograph(name: str) -> np.ndarray:
    """Read a photograph of scikit-image, (H, W, 3) uint8."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    path = next(path for path in sorted(folder.glob(f"{name}.*")))
    with Image.open(path) as image:
        pixels: np.ndarray = np.asarray(image.convert("RGB"))
    return pixels

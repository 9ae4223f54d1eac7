"""A small training folder for a first distillation (`make_training_samples`): scikit-image pictures with rain.

It has no picture of the default validation set (`tasks.promotion.validation_samples`). Its purpose is to show that
a training runs, not to train a useful network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from infra.storage.location import local_home
from models.rain.banks import HELD_OUT_SCENES, HOLD_OUT_EVERY
from models.rain.streaks import BOLD, FAINT_LONG, FINE, MEDIUM, SOFT, procedural_layer
from models.rng import SampleRng
from tasks.media.samples import photograph, rain_on, write_picture

PICTURES = ("cell", "hubble_deep_field", "ihc", "moon", "page", "retina", "text")
HELD_OUT_PICTURE = "clock_motion"
PARTS = 3
"""Number of parts per picture, without overlap as far as its size allows."""
SIDE = 160
LAYERS = {1: FINE, 2: MEDIUM, 3: BOLD, HELD_OUT_SCENES[0]: MEDIUM, HELD_OUT_SCENES[1]: FINE}
"""Scenes of the streak bank: those of the training split, and two of the validation split."""
LAYER_SEED = 2027
UNLABELLED_RAIN = (SOFT, FAINT_LONG)
"""Rain applied to the unlabelled pictures."""


def make_training_samples(workspace: str) -> tuple[Path, Path]:
    """Write the training folder and unlabelled pictures if there are none; return both folders.

    Parameters
    ----------
    workspace : str
        The folders are below it, or below `./var` if it is remote.
    """
    home = local_home(workspace) / "samples"
    data, unlabelled = home / "training", home / "unlabelled"
    for number, (name, part) in enumerate(_in_order()):
        clean = _part(name, part)
        _write(data / "clean" / f"{number:02d}-{name}.png", clean)
        if name != HELD_OUT_PICTURE and part == 0:
            _write(unlabelled / f"{number:02d}-{name}.png", rain_on(clean, number, UNLABELLED_RAIN))
    for scene, family in LAYERS.items():
        rng = SampleRng(LAYER_SEED, torch.tensor([scene]))
        layer = procedural_layer(rng, family, rng.uniform(-0.3, 0.3), (SIDE, SIDE))
        _write(data / "garg" / f"{scene}-1.png", (255 * layer[0, 0]).round().to(torch.uint8).numpy())
    return data, unlabelled


def _in_order() -> list[tuple[str, int]]:
    """Order the parts so that the validation split consists of those of the held-out picture."""
    trained = [(name, part) for part in range(PARTS) for name in PICTURES]
    for part in range(PARTS):
        trained.insert(part * HOLD_OUT_EVERY, (HELD_OUT_PICTURE, part))
    return trained


def _part(name: str, number: int) -> np.ndarray:
    whole = photograph(name)
    top, left = (number * max(0, extent - SIDE) // (PARTS - 1) for extent in whole.shape[:2])
    return whole[top : top + SIDE, left : left + SIDE]


def _write(path: Path, pixels: np.ndarray) -> None:
    if not path.exists():
        write_picture(path, pixels)

"""Small training data for tests: noise as photographs, bright layers, and a training folder on disk."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs
from torch import Tensor

from models.rain.banks import TrainingData, bank_of
from models.rain.streaks import BOLD, FINE, procedural_layer
from models.rng import SampleRng


def sample_rng(first: int, last: int, seed: int = 1) -> SampleRng:
    """Return the random streams of the samples `first` to `last - 1`."""
    return SampleRng(seed, torch.arange(first, last))


def noise(*shape: int, seed: int = 0, low: int = 0, high: int = 256) -> Tensor:
    """Return a picture (H, W, C) of independent uint8 pixels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(low, high, shape, generator=generator, dtype=torch.uint8)


def small_world() -> TrainingData:
    """Return three photographs, the first two with a recorded layer, and a bank of two layers."""
    return TrainingData(
        photographs=bank_of([noise(80, 90, 3), noise(70, 96, 3, seed=1), noise(66, 72, 3, seed=2)]),
        layers=bank_of([noise(80, 90, 1, seed=3), noise(70, 96, 1, seed=4)]),
        streaks=bank_of(
            [noise(60, 100, 1, seed=5, low=5, high=90), noise(64, 64, 1, seed=6, low=5, high=90)]
        ),
        layer_of=torch.tensor([0, 1, -1]),
    )


def write_training_folder(root: Path) -> Path:
    """Write ten photographs that scikit-image ships, layers for half of them, and rendered layers of two scenes."""
    for folder in ("clean", "streaks", "garg"):
        (root / folder).mkdir(parents=True)
    crops = _crops()
    for number, crop in enumerate(crops):
        Image.fromarray(crop).save(root / "clean" / f"{number:02d}.png")
    rows = [{"streaks": f"s{number}.png", "clean": f"{number:02d}.png"} for number in range(0, len(crops), 2)]
    for number, row in enumerate(rows):
        _layer(number).save(root / "streaks" / row["streaks"])
    with (root / "streaks.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, ["streaks", "clean"])
        writer.writeheader()
        writer.writerows(rows)
    for scene in (1, 131):
        _layer(scene).save(root / "garg" / f"{scene}-1.png")
    return root


def _crops() -> list[np.ndarray]:
    pictures = (photographs.astronaut(), photographs.chelsea(), photographs.coffee())
    corners = ((0, 0), (60, 120), (150, 40), (200, 200))
    return [picture[y : y + 72, x : x + 80] for picture in pictures for y, x in corners][:11]


def _layer(number: int) -> Image.Image:
    stream = sample_rng(number, number + 1, seed=7)
    layers = [procedural_layer(stream, family, torch.tensor([0.2]), (72, 80)) for family in (FINE, BOLD)]
    levels = (sum(layers[1:], layers[0]) * 255).clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels[0, 0].numpy())

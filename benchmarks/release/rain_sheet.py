"""Render a sheet of the rain of training or evaluation.

    python -m benchmarks.release.rain_sheet --data DATA --recipe fine --out fine.jpg

A sheet shows crops of one recipe. `--recipe ladder` shows one photograph per row, under the same heavy rain at
growing strengths.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from models.images import RgbImage, to_rgb
from models.pairs import RainyPair
from models.rain.banks import TrainingData, load_training_data
from models.rain.recipes import HELD_OUT_RECIPES, RECIPES, RainRecipe
from models.rain.synthesis import training_pairs, whole_pair
from models.rng import SampleRng

COLUMNS, ROWS, SIDE = 8, 4, 240
STRENGTHS = (0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0)


def main() -> None:
    """Render one sheet and write it."""
    recipes = RECIPES | HELD_OUT_RECIPES
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.rain_sheet", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--recipe", choices=[*recipes, "ladder"], default="mixed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    data = load_training_data(arguments.data, held_out=True)
    if arguments.recipe == "ladder":
        sheet = ladders(data, arguments.seed)
    else:
        crops = SampleRng(arguments.seed, torch.arange(COLUMNS * ROWS))
        rainy = training_pairs(data, crops, recipes[arguments.recipe], SIDE).rainy
        sheet = _rows([[to_rgb(crop) for crop in row] for row in torch.split(rainy, COLUMNS)])
    Image.fromarray(sheet).save(arguments.out, quality=92)


def ladder(
    data: TrainingData, rng: SampleRng, recipe: RainRecipe, photo: int, strengths: Sequence[float]
) -> list[RainyPair]:
    """Render one photograph under the same rain at growing strengths, each a factor on its rain layer."""
    pair = whole_pair(data, rng, recipe, photo)
    return [
        RainyPair(
            (pair.clean + factor * pair.streaks).clamp(0, 1), pair.clean, (factor * pair.streaks).clamp(0, 1)
        )
        for factor in strengths
    ]


def ladders(data: TrainingData, seed: int) -> RgbImage:
    """Return a sheet with one photograph per row: clean first, then under growing rain."""
    rows = []
    for photo in range(ROWS):
        rng = SampleRng(seed, torch.tensor([photo]))
        pairs = ladder(data, rng, RECIPES["heavy"], photo, STRENGTHS)
        pictures = [pairs[0].clean, *(pair.rainy for pair in pairs)]
        rows.append([to_rgb(picture[0])[:SIDE, :SIDE] for picture in pictures])
    return _rows(rows)


def _rows(rows: list[list[RgbImage]]) -> RgbImage:
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


if __name__ == "__main__":
    main()

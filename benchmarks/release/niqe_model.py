"""Fit the pristine model of NIQE on clean training photographs.

    python -m benchmarks.release.niqe_model --data DATA

`DATA` contains `train/clean`. Writes `models/weights/niqe.safetensors`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from tqdm import tqdm

from benchmarks.common.photographs import images_in, read
from models.evaluation.niqe import PRISTINE, NaturalModel, gaussian_of, patch_features
from models.images import RgbImage

SHARP = 0.75
"""Minimum sharpness of patches in pristine photographs, relative to the sharpest patch of each photograph."""


def fit_pristine(photographs: Iterable[RgbImage]) -> NaturalModel:
    """Fit the pristine model to the sharp patches of clean photographs, (H, W, 3) uint8 each."""
    sharp = []
    for photograph in photographs:
        features, sharpness = patch_features(photograph)
        sharp.append(features[sharpness > SHARP * sharpness.max()])
    return gaussian_of(torch.cat(sharp))


def write_pristine(model: NaturalModel, path: Path) -> None:
    """Write a pristine model, which `models.evaluation.niqe.read_pristine` reads."""
    save_file({"mean": model.mean, "covariance": model.covariance}, path)


def main() -> None:
    """Fit the model and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.release.niqe_model", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/clean")
    parser.add_argument("--out", type=Path, default=PRISTINE)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # small photographs: more threads only wait for each other
    clean = images_in(arguments.data / "train" / "clean")
    write_pristine(fit_pristine(read(path) for path in tqdm(clean, unit="photo")), arguments.out)
    print(f"{arguments.out}: fitted on {len(clean)} photographs")


if __name__ == "__main__":
    main()

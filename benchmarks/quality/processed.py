"""Measure networks on photographs that were processed after they were taken.

    python -m benchmarks.quality.processed --data DATA [WEIGHTS ...]

Fine rain is rendered on held-out photographs of `DATA`. Both sides are then enlarged, reduced, sharpened,
compressed or given more contrast, as photographs on the web are. Writes `results/processed.csv`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks.common.networks import Network, networks
from benchmarks.common.tables import write_table
from models.evaluation.metrics import psnr_y
from models.images import to_floats, to_rgb
from models.pairs import RainyPair
from models.rain.banks import TrainingData, load_training_data
from models.rain.degradations import blurred
from models.rain.recipes import RECIPES
from models.rain.synthesis import whole_pair
from models.rng import SampleRng

RESULTS = Path(__file__).parents[1] / "results" / "processed.csv"
SEED = 5
Process = Callable[[Tensor], Tensor]
"""Processes (1, 3, H, W) floats in [0, 1]."""


@dataclass(frozen=True, slots=True)
class Row:
    """One network under one kind of processing: means over the photographs, psnr_y in dB."""

    model: str
    model_digest: str
    processing: str
    photographs: int
    psnr_y_input: float
    psnr_y: float
    rain_recall: float
    """Fraction of the difference between the rainy and the clean photograph that is removed."""


def enlarged(factor: float) -> Process:
    """Resize (bicubic, antialiased) to multiples of 8."""

    def resize(picture: Tensor) -> Tensor:
        size = [int(extent * factor) // 8 * 8 for extent in picture.shape[-2:]]
        return F.interpolate(picture, size, mode="bicubic", antialias=True).clamp(0, 1)

    return resize


def sharpened(amount: float, sigma: float) -> Process:
    """Add fine detail once more (unsharp masking)."""
    return lambda picture: (picture + amount * (picture - blurred(picture, torch.tensor([sigma])))).clamp(
        0, 1
    )


def with_contrast(gain: float) -> Process:
    """Scale the distance from middle grey."""
    return lambda picture: (0.5 + gain * (picture - 0.5)).clamp(0, 1)


def compressed(quality: int) -> Process:
    """Write and read a JPEG file."""

    def through_jpeg(picture: Tensor) -> Tensor:
        file = io.BytesIO()
        Image.fromarray(to_rgb(picture[0])).save(file, "JPEG", quality=quality)
        return to_floats(np.asarray(Image.open(file)))[None]

    return through_jpeg


def in_turn(*steps: Process) -> Process:
    """Apply several steps."""

    def process(picture: Tensor) -> Tensor:
        for step in steps:
            picture = step(picture)
        return picture

    return process


PROCESSES: Mapping[str, Process] = {
    "none": lambda picture: picture,
    "enlarged 1.5 times": enlarged(1.5),
    "enlarged 2 times": enlarged(2.0),
    "reduced to 0.6": enlarged(0.6),
    "sharpened": sharpened(1.0, 1.0),
    "contrast 1.5": with_contrast(1.5),
    "JPEG 50": compressed(50),
    "enlarged 1.5 times, sharpened, JPEG 60": in_turn(enlarged(1.5), sharpened(1.0, 1.2), compressed(60)),
}


def main() -> None:
    """Measure the networks and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality.processed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("weights", nargs="*", type=Path, help="model files; default: all that ship")
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--photographs", type=int, default=20)
    arguments = parser.parse_args()
    pairs = list(rendered(load_training_data(arguments.data, held_out=True), arguments.photographs))
    rows: list[Row] = []
    for network in networks(arguments.weights):
        for row in measured(network, pairs):
            rows.append(row)
            print(
                f"{row.model:16} {row.processing:40} {row.psnr_y_input:.2f} to {row.psnr_y:.2f} dB",
                flush=True,
            )
    write_table(rows, RESULTS)


def rendered(data: TrainingData, count: int) -> Iterator[RainyPair]:
    """Render fine rain without a camera's degradations on held-out photographs."""
    recipe = replace(RECIPES["fine"], camera=False)
    for number in range(min(count, len(data.photographs))):
        yield whole_pair(data, SampleRng(SEED, torch.tensor([number])), recipe, number)


def measured(network: Network, pairs: Sequence[RainyPair]) -> Iterator[Row]:
    """Measure a network under each kind of processing."""
    for name, process in PROCESSES.items():
        bar = tqdm(pairs, desc=f"{network.name}, {name}", unit="photo", leave=False)
        scores = np.array([_scores(network, process(pair.rainy), process(pair.clean)) for pair in bar])
        before, after, recall = (round(fmean(column), 4) for column in scores.T)
        yield Row(network.name, network.digest, name, len(pairs), before, after, recall)


def _scores(network: Network, rainy: Tensor, clean: Tensor) -> tuple[float, float, float]:
    derained, rain = network.derain_floats(rainy), rainy - clean
    left = ((derained - clean) * rain).sum() / rain.square().sum()
    shown, reference = to_rgb(derained[0]), to_rgb(clean[0])
    return psnr_y(to_rgb(rainy[0]), reference), psnr_y(shown, reference), 1 - float(left)


if __name__ == "__main__":
    main()

"""Measure how often the drift test raises an alarm without drift, and with it.

    python -m benchmarks.learning.drift --data DATA

`DATA` contains `real_rain/` (photographs) and `real_frames/` (frames of one camera). Without drift: in each trial
the crops of the photographs are split into two sides at random, and both views are tested as an ingest does. With
drift: the newest side is darker, blurred, under more streaks, or from another camera.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from tqdm import tqdm

from benchmarks.common.photographs import images_in, read
from benchmarks.common.tables import write_table
from infra.limits import IngestLimits
from infra.records import ImageRef
from models.modelfile import STUDENT_BASE, build, read_model_file
from tasks.drift.detection import CROP_STATISTICS, FEATURE_SIDE, champion_features
from tasks.drift.two_sample import energy_test, holm
from tasks.pool.crops import cut
from tasks.pool.inspection import inspect_image

RESULTS = Path(__file__).parents[1] / "results" / "drift.csv"
NEWEST = 30
"""Number of crops on the newest side; the reference has the others."""
PERMUTATIONS = 399
ALPHAS = (0.01, 0.05)

Crop = np.ndarray


@dataclass(frozen=True, slots=True)
class DriftRow:
    """One kind of drift, or none, and the share of the trials that raised an alarm at each level of the test."""

    drift: str
    reference: int
    newest: int
    trials: int
    alarms_at_01: float
    alarms_at_05: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The two views of N crops: their statistics, (N, 4), and their features, (N, C)."""

    statistics: np.ndarray
    features: np.ndarray

    def take(self, places: np.ndarray) -> Figures:
        """Return the figures of some crops."""
        return Figures(self.statistics[places], self.features[places])


def measure(data: Path, trials: int, seed: int) -> list[DriftRow]:
    """Measure the alarms without drift, and under four kinds of drift."""
    torch.set_num_threads(1)
    network = build(read_model_file(STUDENT_BASE), "shipped").eval()
    crops = _crops(images_in(data / "real_rain"))
    plain = _figures(network, crops)
    rows = [_row("none", plain, plain, trials, seed)]
    for name, change in _CHANGES.items():
        rows.append(_row(name, plain, _figures(network, [change(crop) for crop in crops]), trials, seed))
    frames = _figures(network, _crops(images_in(data / "real_frames")))
    rows.append(_row("frames of another camera", plain, frames, trials, seed))
    return rows


def _row(name: str, before: Figures, after: Figures, trials: int, seed: int) -> DriftRow:
    """Split the crops into two sides at random, `trials` times; a crop is never on both sides."""
    generator = np.random.default_rng(seed)
    same_crops = len(before.statistics) == len(after.statistics)
    total = len(before.statistics)
    p_values = []
    for trial in tqdm(range(trials), desc=name):
        order = generator.permutation(total)
        newest = order[:NEWEST] if same_crops else generator.permutation(len(after.statistics))[:NEWEST]
        reference = order[NEWEST:]
        p_values.append(_p_value(before.take(reference), after.take(newest), trial))
    rates = [float(np.mean(np.array(p_values) <= alpha)) for alpha in ALPHAS]
    return DriftRow(name, total - NEWEST, NEWEST, trials, *(round(rate, 4) for rate in rates))


def _p_value(reference: Figures, newest: Figures, seed: int) -> float:
    tests = (
        energy_test(reference.statistics, newest.statistics, permutations=PERMUTATIONS, seed=seed),
        energy_test(reference.features, newest.features, permutations=PERMUTATIONS, seed=seed),
    )
    return min(holm([test.p_value for test in tests]))


def _crops(paths: list[Path]) -> list[Crop]:
    """Return the rainiest crop of each photograph that an ingest would accept, without its padding."""
    found = []
    for path in tqdm(paths, desc=paths[0].parent.name):
        rgb = read(path)
        inspected = inspect_image(ImageRef(path.name, "", 0), rgb, IngestLimits())
        if inspected.crops:
            box = inspected.crops[0].box
            found.append(cut(rgb, box)[: box.height, : box.width])
    return found


def _figures(network: torch.nn.Module, crops: list[Crop]) -> Figures:
    statistics, features = [], []
    limits = IngestLimits(min_sharpness=0, min_contrast=0, min_correlation=-1)
    for crop in tqdm(crops, desc="figures"):
        quality = inspect_image(ImageRef("", "", 0), crop, limits).quality
        statistics.append([getattr(quality, name) for name in CROP_STATISTICS])
        features.append(champion_features(network, crop[None, :FEATURE_SIDE, :FEATURE_SIDE])[0])
    return Figures(np.array(statistics), np.stack(features))


def _darker(crop: Crop) -> Crop:
    return (crop * 0.6).astype(np.uint8)


def _blurred(crop: Crop) -> Crop:
    return np.asarray(Image.fromarray(crop).filter(ImageFilter.GaussianBlur(1)))


def _more_rain(crop: Crop) -> Crop:
    """Add upright streaks of 2 by 24 pixels, one per 1,500 pixels, always at the same places."""
    generator = np.random.default_rng(0)
    height, width = crop.shape[:2]
    streaks = np.zeros((height, width, 1), np.int16)
    for top, left in generator.random((height * width // 1500, 2)) * (height, width):
        streaks[int(top) : int(top) + 24, int(left) : int(left) + 2] = 40
    return np.clip(crop + streaks, 0, 255).astype(np.uint8)


_CHANGES: dict[str, Callable[[Crop], Crop]] = {
    "darker by 40 %": _darker,
    "blurred, sigma 1": _blurred,
    "more streaks": _more_rain,
}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows = measure(options.data, options.trials, options.seed)
    for row in rows:
        print(row)
    write_table(rows, RESULTS)


if __name__ == "__main__":
    main()

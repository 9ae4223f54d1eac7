"""Measure how often the promotion gates detect a true gain and miss a true loss, by size of the validation set.

    python -m benchmarks.learning.gate_power --challenger coarse=FILE [--challenger NAME=FILE ...] [--data DATA]

The champion (student-base) and the challengers are measured as `flows.promote` does, on the scenes of the default
validation set, or on photographs of `DATA/clean` under its rain. Validation sets are drawn from these scenes with
replacement, and the gates decide on each. So that the truth is known, all differences of a metric are shifted by
one value: their mean over all scenes becomes the true gain or loss in psnr_y, and 0 in the other metrics. Only the
variation of a challenger between scenes remains. Writes `results/gate_power.csv`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.common.photographs import images_in, read
from benchmarks.common.tables import rows_of, write_table
from infra.limits import GateLimits
from infra.settings import Settings
from infra.storage.location import open_location
from models.images import RgbImage
from models.modelfile import STUDENT_BASE, read_model_file
from tasks.promotion.bootstrap import Figures
from tasks.promotion.evaluation import evaluate
from tasks.promotion.gates import HIGHER_IS_BETTER, LOWER_IS_BETTER, Verdict, decide
from tasks.promotion.scores import Compared, Evaluation
from tasks.promotion.validation_manifest import read_validation
from tasks.promotion.validation_samples import MANIFEST, SIDE, scenes, write_validation
from tasks.resolved_model import ResolvedModel

RESULTS = Path(__file__).parents[1] / "results" / "gate_power.csv"
TRUTHS = (0.2, -0.1)
"""True differences in psnr_y, dB: a gain to detect nine times in ten, a loss that may pass once in twenty."""
SIZES = (10, 20, 40, 72)
"""Numbers of scenes per validation set; the default one has 72."""
DRAWS = 400
METRICS = (*HIGHER_IS_BETTER, *LOWER_IS_BETTER)


@dataclass(frozen=True, slots=True)
class PowerRow:
    """Shares of the drawn validation sets on which a challenger is promoted, or refused by a gate."""

    challenger: str
    photographs: str
    """Source of the scenes: `default` for the default validation set, or the name of a folder."""
    population: int
    """Number of scenes from which the sets are drawn."""
    spread: float
    """Standard deviation, between scenes, of the mean difference in psnr_y, dB."""
    spread_pairs: float
    """Standard deviation between pairs of a scene, without the part that their kind of rain explains."""
    spread_scenes: float
    """Value of `spread` with an unlimited number of pairs per scene."""
    scenes: int
    true_difference: float
    draws: int
    promoted: float
    refused_psnr_y: float
    refused_ssim_y: float
    refused_rain_recall: float
    refused_detail_kept: float
    refused_clean_change: float


Scenes = Mapping[str, Sequence[Compared]]


@dataclass(frozen=True, slots=True)
class Population:
    """A challenger, measured on the scenes from which validation sets are drawn."""

    challenger: str
    photographs: str
    evaluation: Evaluation

    def by_scene(self) -> Scenes:
        """Group the pairs by scene."""
        found: dict[str, list[Compared]] = {}
        for photograph in self.evaluation.photographs:
            found.setdefault(photograph.scene, []).append(photograph)
        return found


def main() -> None:
    """Measure the challengers, simulate, and write all rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.gate_power", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, help="folder with clean/; by default the default validation set")
    parser.add_argument("--challenger", action="append", required=True, metavar="NAME=FILE")
    parser.add_argument("--scenes", type=int, default=100, help="number of photographs of --data")
    arguments = parser.parse_args()
    data: Path | None = arguments.data
    with tempfile.TemporaryDirectory(prefix="derain-gate-power-") as folder:
        photographs = _photographs(data / "clean", arguments.scenes) if data else scenes()
        write_validation(open_location(folder), photographs)
        for challenger in arguments.challenger:
            name, _, file = challenger.partition("=")
            population = Population(name, data.name if data else "default", measured(folder, Path(file)))
            _write(simulated(population))


def _write(rows: Sequence[PowerRow]) -> None:
    """Replace the rows of the same challenger on the same photographs, and keep the others."""
    new = (rows[0].challenger, rows[0].photographs)
    kept = [row for row in rows_of(RESULTS, PowerRow) if (row["challenger"], row["photographs"]) != new]
    write_table(rows, RESULTS, kept)


def _photographs(folder: Path, count: int) -> Iterator[tuple[str, RgbImage]]:
    """Yield evenly spaced photographs that are large enough, by name."""
    paths = images_in(folder)
    for path in paths[:: max(1, len(paths) // count)][:count]:
        pixels = read(path)
        if min(pixels.shape[:2]) >= SIDE:
            yield path.stem, pixels


def measured(folder: str, challenger: Path) -> Evaluation:
    """Evaluate a challenger against the shipped student on the pairs in a folder."""
    models = [ResolvedModel(read_model_file(path), path.stem, "file") for path in (STUDENT_BASE, challenger)]
    settings = Settings(workspace=folder, device="cpu", _env_file=None)
    return evaluate(settings, models[0], models[1], read_validation(f"{folder}/{MANIFEST}"))


def simulated(population: Population) -> list[PowerRow]:
    """Simulate validation sets of all sizes for one challenger; return their rows."""
    return [
        _row(replace(population, evaluation=with_truth(population.evaluation, truth)), size, truth)
        for truth in TRUTHS
        for size in SIZES
    ]


def with_truth(evaluation: Evaluation, truth: float) -> Evaluation:
    """Shift the challenger's scores so that psnr_y differs by `truth` dB on average, and other metrics by 0."""
    shifts = {metric: -evaluation.differences(metric)[0].mean() for metric in METRICS}
    shifts["psnr_y"] += truth
    photographs = []
    for each in evaluation.photographs:
        scores = asdict(each.challenger)
        moved = {metric: scores[metric] + shifts[metric] for metric in METRICS if scores[metric] is not None}
        photographs.append(replace(each, challenger=replace(each.challenger, **moved)))
    return replace(evaluation, photographs=tuple(photographs), latency_ratios=np.ones(1), worst=())


def _row(population: Population, size: int, truth: float) -> PowerRow:
    generator = np.random.default_rng(size)
    by_scene = population.by_scene()
    verdicts = [
        decide(
            drawn(population.evaluation, by_scene, size, generator), GateLimits(min_images=2, min_scenes=2)
        )
        for _ in range(DRAWS)
    ]
    row = PowerRow(
        population.challenger,
        population.photographs,
        len(by_scene),
        *spreads(np.array([[_difference(each) for each in compared] for compared in by_scene.values()])),
        size,
        truth,
        DRAWS,
        float(np.mean([verdict.is_better for verdict in verdicts])),
        **{f"refused_{metric}": _refused(verdicts, metric) for metric in METRICS},
    )
    print(row, flush=True)
    return row


def spreads(differences: Figures) -> tuple[float, float, float]:
    """Return how much differences vary between means of scenes, between pairs of a scene, and between scenes.

    Parameters
    ----------
    differences : ndarray
        (scenes, pairs); the pairs of a column are under the same kind of rain.

    Returns
    -------
    tuple of float
        Standard deviations, estimated by an analysis of variance: of the means of scenes; of pairs, apart from what
        scene and rain explain; and what the first would be with any number of pairs per scene.
    """
    count, pairs = differences.shape
    rest = differences - differences.mean(0) - differences.mean(1, keepdims=True) + differences.mean()
    within = (rest**2).sum() / ((count - 1) * (pairs - 1))
    means = differences.mean(1).var(ddof=1)
    variances = (means, within, max(0.0, means - within / pairs))
    first, second, third = (round(float(np.sqrt(variance)), 3) for variance in variances)
    return first, second, third


def _refused(verdicts: Sequence[Verdict], metric: str) -> float:
    """Return the share of verdicts in which the gate of a metric did not pass."""
    gates = [gate for verdict in verdicts for gate in verdict.gates if gate.name == metric]
    return round(sum(not gate.passed for gate in gates) / len(gates), 4)


def _difference(compared: Compared) -> float:
    return (compared.challenger.psnr_y or 0.0) - (compared.champion.psnr_y or 0.0)


def drawn(evaluation: Evaluation, scenes: Scenes, size: int, generator: np.random.Generator) -> Evaluation:
    """Draw a validation set of `size` scenes with replacement; a repeated scene counts as a new one."""
    names = list(scenes)
    photographs = [
        replace(each, scene=f"{number}-{names[index]}")
        for number, index in enumerate(generator.integers(len(names), size=size))
        for each in scenes[names[index]]
    ]
    return replace(evaluation, photographs=tuple(photographs))


if __name__ == "__main__":
    main()

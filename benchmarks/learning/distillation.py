"""Measure the gain of each term of distillation: one student from scratch, and with one more term in each row.

    python -m benchmarks.learning.distillation --data DATA --unlabelled PHOTOGRAPHS --steps 1500

The variants are scratch, + the teacher's output, + its features, + unlabelled photographs, + attention; each is
trained for equal steps, and for as many steps as fit into the processor seconds of scratch (the teacher targets are
computed once and not counted). Scores are psnr_y in dB on the validation split and on an unlabelled domain, rain of
families that no labelled batch has: training photographs under it, without labels, are added to PHOTOGRAPHS, and
held-out photographs under it are scored. Finished rows are kept in `results/distillation.csv`; an interrupted run
resumes with the same command. At the end it prints the differences from scratch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from benchmarks.common.tables import rows_of, write_table
from models.evaluation.metrics import psnr_y
from models.evaluation.validation import ValidationSet, render_validation, validate
from models.images import RgbImage, to_rgb
from models.networks.architectures import build_network, preset
from models.networks.base import Network
from models.rain.banks import TrainingData, load_training_data
from models.rain.recipes import HELD_OUT_RECIPES
from models.rain.synthesis import whole_pair
from models.rng import SampleRng
from models.training.batches import batch_of
from models.training.config import TrainConfig
from models.training.distill.objective import Distillation, DistillConfig
from models.training.distill.run import Teaching
from models.training.distill.teacher_targets import (
    TeacherTargets,
    cache_teacher_targets,
    read_photographs,
)
from models.training.distill.teachers import Teacher, read_teacher
from models.training.fabric import launch_fabric
from models.training.loop import step
from models.training.objectives import Objective, Supervised
from models.training.state import begin

RESULTS = Path(__file__).parents[1] / "results" / "distillation.csv"
BASE = Path(__file__).parents[2] / "models" / "weights" / "student-base.safetensors"
NOTHING = DistillConfig(labelled_weight=0.0, unlabelled_weight=0.0, feature_weight=0.0)
VARIANTS = {
    "scratch": NOTHING,
    "+ output": replace(NOTHING, labelled_weight=0.2),
    "+ features": replace(NOTHING, labelled_weight=0.2, feature_weight=0.05),
    "+ unlabelled": DistillConfig(),
    "+ attention": DistillConfig(attention_weight=0.05),
}
"""Weights of the variants, each with one term more than the one before."""
DOMAIN_SEED = 30_260_000
DOMAIN_PHOTOGRAPHS = 60
"""Number of training photographs that are rendered under the rain of the unlabelled domain."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training."""

    variant: str
    budget: str
    """`steps` or `seconds`, whichever equals that of scratch."""
    length: int
    """Number of steps of scratch."""
    seed: int
    student: str
    teacher: str
    unlabelled_teacher: str
    unlabelled_photographs: int
    steps: int
    seconds: float
    """Processor time of one thread, without validation and teacher targets."""
    lesson_seconds: float
    """Processor time of the teacher targets."""
    light: float
    heavy: float
    fine: float
    faint: float
    drops: float
    none: float
    overall: float
    domain: float
    """Mean psnr_y on held-out photographs of the unlabelled domain."""


@dataclass(frozen=True, slots=True)
class Bench:
    """The parts that all trainings share."""

    fabric: Fabric
    config: TrainConfig
    training: TrainingData
    pairs: ValidationSet
    domain: Sequence[tuple[Tensor, Tensor]]
    """Rainy and clean, (3, H, W) each."""
    teaching: Teaching
    targets: TeacherTargets
    lesson_seconds: float

    def row(self, variant: str, budget: str, seed: int, steps: int) -> Row:
        """Train one student and score it."""
        config = replace(self.config, seed=seed, steps=steps)
        network, seconds = self._trained(config, self._objective(config, VARIANTS[variant]), variant)
        with self.fabric.autocast():
            scores, domain = validate(network, self.pairs), domain_score(network, self.domain)
        figures = {name: round(score, 3) for name, score in asdict(scores).items()}
        return Row(
            variant=variant,
            budget=budget,
            length=self.config.steps,
            seed=seed,
            student=config.preset,
            teacher=self.teaching.teacher.name,
            unlabelled_teacher=self.teaching.unlabelled_teacher.name,
            unlabelled_photographs=len(self.teaching.photographs),
            steps=steps,
            seconds=round(seconds, 3),
            lesson_seconds=round(self.lesson_seconds, 3),
            **figures,
            overall=round(scores.overall, 3),
            domain=round(domain, 3),
        )

    def _trained(self, config: TrainConfig, objective: Objective, name: str) -> tuple[Network, float]:
        state = begin(self.fabric, config, objective)
        started = time.process_time()
        for number in tqdm(range(config.steps), desc=f"{name}, seed {config.seed}", mininterval=10):
            step(self.fabric, config, state, batch_of(self.fabric, config, self.training, number))
        return state.average, time.process_time() - started

    def _objective(self, config: TrainConfig, weights: DistillConfig) -> Objective:
        if weights == NOTHING:
            return Supervised()
        widths = build_network(preset(config.preset)).feature_widths
        torch.manual_seed(config.seed)
        return Distillation(weights, self.teaching.lineage, widths, self.teaching.teacher, self.targets)


def in_domain(data: TrainingData, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Render photographs under rain that labelled batches never have; yield rainy and clean, (3, H, W) each."""
    recipes = list(HELD_OUT_RECIPES.values())
    for number in range(min(count, len(data.photographs))):
        rng = SampleRng(DOMAIN_SEED, torch.tensor([number], device=data.layer_of.device))
        pair = whole_pair(data, rng, recipes[number % len(recipes)], number)
        yield pair.rainy[0], pair.clean[0]


@torch.inference_mode()
def domain_score(network: Network, pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the mean psnr_y of a network on pairs of the unlabelled domain."""
    return fmean(psnr_y(to_rgb(network(rainy[None])[0]), to_rgb(clean)) for rainy, clean in pairs)


def plan(seeds: Sequence[int], variants: Sequence[str]) -> list[tuple[str, str, int]]:
    """List variant, budget and seed of all rows; scratch comes first, because its seconds are a budget."""
    rows = []
    for seed in seeds:
        rows.append(("scratch", "steps", seed))
        others = [variant for variant in variants if variant != "scratch"]
        rows += [(variant, budget, seed) for variant in others for budget in ("steps", "seconds")]
    return rows


def steps_within(kept: Sequence[dict[str, str]], variant: str, budget: str, seed: int, steps: int) -> int:
    """Return the number of steps of a row: that of scratch, or as many as fit into the seconds of scratch."""
    if budget == "steps":
        return steps
    taken = {
        row["variant"]: float(row["seconds"]) for row in kept if _cell(row)[1:] == ("steps", steps, seed)
    }
    return max(1, round(steps * taken["scratch"] / taken[variant]))


def run(bench: Bench, variants: Sequence[str], seeds: Sequence[int], results: Path) -> None:
    """Train all variants that are not in the results yet; write each row when it is finished."""
    length = bench.config.steps
    for variant, budget, seed in plan(seeds, variants):
        kept = rows_of(results, Row)
        if (variant, budget, length, seed) in map(_cell, kept):
            continue
        steps = steps_within(kept, variant, budget, seed, length)
        row = bench.row(variant, budget, seed, steps)
        write_table([row], results, rows_of(results, Row))
        print(row, flush=True)


def _cell(row: dict[str, str]) -> tuple[str, str, int, int]:
    """Return variant, budget, length and seed of a row."""
    return row["variant"], row["budget"], int(row["length"]), int(row["seed"])


def differences(rows: Sequence[dict[str, str]]) -> Iterator[str]:
    """Report the gain of each variant over scratch in dB, as mean and standard deviation over seeds."""
    scratch = {(row["length"], row["seed"]): row for row in rows if row["variant"] == "scratch"}
    cells = dict.fromkeys(_cell(row)[:3] for row in rows if row["variant"] != "scratch")
    for cell in cells:
        chosen = [row for row in rows if _cell(row)[:3] == cell]
        parts = []
        for figure in ("overall", "domain"):
            pairs = [(row, scratch[row["length"], row["seed"]]) for row in chosen]
            gains = [float(row[figure]) - float(baseline[figure]) for row, baseline in pairs]
            spread = f" +- {stdev(gains):.2f}" if len(gains) > 1 else ""
            parts.append(f"{figure} {fmean(gains):+.2f}{spread}")
        variant, budget, length = cell
        yield f"{variant}, {length:,} steps, equal {budget}, {len(chosen)} seeds: {', '.join(parts)}"


def prepare(arguments: argparse.Namespace, config: TrainConfig) -> Bench:
    """Read data and teachers, and compute the teacher targets."""
    fabric = launch_fabric("cpu", config.precision)
    training = load_training_data(arguments.data, held_out=False)
    photographs: list[RgbImage] = [to_rgb(rainy) for rainy, _ in in_domain(training, DOMAIN_PHOTOGRAPHS)]
    if arguments.unlabelled:
        photographs += read_photographs(arguments.unlabelled)
    teacher, other = read_teacher(arguments.teacher), read_teacher(arguments.unlabelled_teacher)
    teaching = Teaching(DistillConfig(), teacher, other, photographs)
    started, measured = time.process_time(), arguments.work / "lesson_seconds.txt"
    targets = cache_teacher_targets(fabric, teaching.unlabelled_teacher, photographs, arguments.work)
    if not measured.exists():  # otherwise the targets were read from the cache
        measured.write_text(f"{time.process_time() - started}")
    held_out = load_training_data(arguments.data, held_out=True)
    pairs = render_validation(held_out, arguments.photographs)
    domain = list(in_domain(held_out, arguments.photographs))
    return Bench(fabric, config, training, pairs, domain, teaching, targets, float(measured.read_text()))


def variants_of(teacher: Teacher, student: str) -> list[str]:
    """Return the variants that are possible with a teacher; some need features at the student's scales."""
    shared = teacher.feature_widths.keys() & build_network(preset(student)).feature_widths.keys()
    return [name for name in VARIANTS if shared or name not in ("+ features", "+ attention")]


def main() -> None:
    """Parse the command line and fill the table."""
    arguments = _parse()
    torch.set_num_threads(1)
    config = TrainConfig(
        preset=arguments.preset,
        steps=arguments.steps,
        batch=arguments.batch,
        crop=arguments.crop,
        warm_up=max(1, arguments.steps // 20),
        cool_down=0.6,
        ema=min(0.999, 1 - 20 / max(arguments.steps, 40)),
        validation_photographs=arguments.photographs,
    )
    bench = prepare(arguments, config)
    possible = variants_of(bench.teaching.teacher, config.preset)
    variants = [name for name in possible if name in arguments.variants]
    print("variants:", ", ".join(variants), flush=True)
    run(bench, variants, range(1, arguments.seeds + 1), arguments.results)
    print(*differences(rows_of(arguments.results, Row)), sep="\n")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.distillation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--unlabelled", type=Path, help="folder of rainy photographs; default: none")
    parser.add_argument("--teacher", default=str(BASE), help="weights file; default: the shipped student")
    parser.add_argument(
        "--unlabelled-teacher",
        default=f"self-ensemble:{BASE}",
        help="weights file, or self-ensemble:FILE; default: the self-ensemble of the shipped student",
    )
    parser.add_argument("--preset", default="student-small")
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=list(VARIANTS),
        default=list(VARIANTS),
        help="variants to train in addition to scratch; default: all",
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--photographs", type=int, default=20, help="held-out photographs per kind of rain")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument(
        "--work", type=Path, default=Path("var/distillation"), help="folder for the teacher targets"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()

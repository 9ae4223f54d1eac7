"""Muon compared with AdamW at equal seconds: new weights, and networks grown from a trained one.

    python -m benchmarks.learning.optimisers --data DATA --seconds 60

Each course trains for the same processor time of one thread, on the same batches, without torch.compile; grown
networks begin as `models/weights/student-base.safetensors`. Scores are on the validation split. Writes
`results/optimisers.csv`.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from benchmarks.common.brief_training import LEARNING_RATE, Budget, scored, trained
from benchmarks.common.tables import write_table
from models.evaluation.validation import ValidationSet, render_validation
from models.modelfile import STUDENT_BASE, build, read_model_file
from models.networks.architectures import build_network, preset
from models.networks.base import Network
from models.networks.growth import grow
from models.rain.banks import TrainingData, load_training_data
from models.training.muon import Muon, split_kernels

RESULTS = Path(__file__).parents[1] / "results" / "optimisers.csv"
WEIGHT_DECAY = 1e-5
GROWN_RATE = 5e-4
"""Of AdamW's weights where a trained network is trained further."""


@dataclass(frozen=True, slots=True)
class Course:
    """A network, and what trains it."""

    network: str
    grown: bool
    """Whether it begins as the shipped student; new weights otherwise."""
    muon_rate: float
    """Of the kernels; 0 is AdamW for all."""


COURSES = (
    Course("student-small", False, 0.0),
    Course("student-small", False, 0.01),
    Course("drd-net-slim", False, 0.0),
    Course("drd-net-slim", False, 0.01),
    Course("student-large", True, 0.0),
    Course("student-large", True, 0.003),
    Course("afr-net-base", True, 0.0),
    Course("afr-net-base", True, 0.003),
)


@dataclass(frozen=True, slots=True)
class OptimiserRow:
    """One row of the results: psnr_y in dB."""

    network: str
    grown: bool
    optimiser: str
    seconds: float
    """Processor time of one thread."""
    steps: int
    light: float
    heavy: float
    fine: float
    drops: float
    none: float


def main() -> None:
    """Parse the command line, train, score, write and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.optimisers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time per course")
    parser.add_argument("--photographs", type=int, default=8)
    names = sorted({course.network for course in COURSES})
    parser.add_argument("--networks", nargs="+", choices=names, default=names, help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_training_data(arguments.data, held_out=False)
    pairs = render_validation(load_training_data(arguments.data, held_out=True), arguments.photographs)
    rows = []
    for course in (course for course in COURSES if course.network in arguments.networks):
        rows.append(measured(course, data, pairs, Budget(seconds=arguments.seconds)))
        print(rows[-1], flush=True)
        write_table(rows, RESULTS)


def measured(course: Course, data: TrainingData, pairs: ValidationSet, budget: Budget) -> OptimiserRow:
    """Train and score one course."""
    network = begun(course)
    name = f"Muon {course.muon_rate:g}" if course.muon_rate else "AdamW"
    started = time.process_time()
    average, steps = trained(
        network, f"{course.network}, {name}", data, budget, optimizer_of(course, network)
    )
    seconds = round(time.process_time() - started, 1)
    scores = {kind: round(value, 2) for kind, value in asdict(scored(average, pairs)).items()}
    return OptimiserRow(course.network, course.grown, name, seconds, steps, **scores)


def begun(course: Course) -> Network:
    """Build the network of a course."""
    torch.manual_seed(0)
    network = build_network(preset(course.network))
    if course.grown:
        grow(network, build(read_model_file(STUDENT_BASE)))
    return network


def optimizer_of(course: Course, network: Network) -> torch.optim.Optimizer:
    """Build the optimiser of a course."""
    rate = GROWN_RATE if course.grown else LEARNING_RATE
    if course.muon_rate:
        return Muon(*split_kernels(network), course.muon_rate, rate, WEIGHT_DECAY)
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)


if __name__ == "__main__":
    main()

"""Compare Muon with AdamW at equal seconds, on new weights and on networks grown from a trained one.

    python -m benchmarks.learning.optimisers --data DATA --seconds 60

Each variant trains for the same processor time of one thread, on the same batches, without torch.compile; grown
networks start from `models/weights/student-base.safetensors`. Scores are on the validation split. Writes
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
"""Learning rate of AdamW for networks that are grown from a trained one."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A network and its optimiser."""

    network: str
    grown: bool
    """Whether the network is grown from the shipped student; otherwise its weights are new."""
    muon_rate: float
    """Muon's learning rate for kernels; 0 for AdamW alone."""


VARIANTS = (
    Variant("student-small", False, 0.0),
    Variant("student-small", False, 0.01),
    Variant("drd-net-slim", False, 0.0),
    Variant("drd-net-slim", False, 0.01),
    Variant("student-large", True, 0.0),
    Variant("student-large", True, 0.003),
    Variant("afr-net-base", True, 0.0),
    Variant("afr-net-base", True, 0.003),
)


@dataclass(frozen=True, slots=True)
class OptimiserRow:
    """One variant. Scores are psnr_y in dB."""

    network: str
    grown: bool
    optimiser: str
    seconds: float
    """Processor time of one thread."""
    steps: int
    light: float
    heavy: float
    fine: float
    faint: float
    drops: float
    none: float


def main() -> None:
    """Parse the command line, train, score, write and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.optimisers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--seconds", type=float, default=60.0, help="processor time per variant")
    parser.add_argument("--photographs", type=int, default=8)
    names = sorted({variant.network for variant in VARIANTS})
    parser.add_argument("--networks", nargs="+", choices=names, default=names, help="default: all")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_training_data(arguments.data, held_out=False)
    pairs = render_validation(load_training_data(arguments.data, held_out=True), arguments.photographs)
    rows = []
    for variant in (variant for variant in VARIANTS if variant.network in arguments.networks):
        rows.append(measured(variant, data, pairs, Budget(seconds=arguments.seconds)))
        print(rows[-1], flush=True)
        write_table(rows, RESULTS)


def measured(variant: Variant, data: TrainingData, pairs: ValidationSet, budget: Budget) -> OptimiserRow:
    """Train and score one variant."""
    network = new_network(variant)
    name = f"Muon {variant.muon_rate:g}" if variant.muon_rate else "AdamW"
    started = time.process_time()
    average, steps = trained(
        network, f"{variant.network}, {name}", data, budget, optimizer_of(variant, network)
    )
    seconds = round(time.process_time() - started, 1)
    scores = {kind: round(value, 2) for kind, value in asdict(scored(average, pairs)).items()}
    return OptimiserRow(variant.network, variant.grown, name, seconds, steps, **scores)


def new_network(variant: Variant) -> Network:
    """Build the network of a variant."""
    torch.manual_seed(0)
    network = build_network(preset(variant.network))
    if variant.grown:
        grow(network, build(read_model_file(STUDENT_BASE)))
    return network


def optimizer_of(variant: Variant, network: Network) -> torch.optim.Optimizer:
    """Build the optimiser of a variant."""
    rate = GROWN_RATE if variant.grown else LEARNING_RATE
    if variant.muon_rate:
        return Muon(*split_kernels(network), variant.muon_rate, rate, WEIGHT_DECAY)
    return torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=WEIGHT_DECAY, fused=True)


if __name__ == "__main__":
    main()

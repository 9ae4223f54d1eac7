"""Measure the share of a training's time in steps: `python -m benchmarks.speed.training_step --data DATA`.

Compares the patches per second of three loops over the same steps, in interleaved repeats: `bare`, which repeats
one batch without rendering; `ahead`, which renders the next batch in a thread, as trainings do if a core is idle;
and `in turn`, which renders between steps, as they do otherwise. Each runs without torch.compile and, if there is a
compiler, with it. Ratios are to the bare loop of the same repeat. Writes `results/training_step.csv`.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from lightning_fabric import Fabric

from benchmarks.common.device import device_name
from benchmarks.common.tables import write_table
from models.pairs import RainyPair
from models.rain.banks import TrainingData, load_training_data
from models.training.batches import Batches, batch_of
from models.training.compilation import compile_problem
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric
from models.training.loop import step
from models.training.objectives import Supervised
from models.training.state import State, begin

RESULTS = Path(__file__).parents[1] / "results" / "training_step.csv"
BARE, AHEAD, IN_TURN = "bare", "ahead", "in turn"
UNTIMED = 3
"""Untimed steps, which compile and fill the optimiser's state."""

TakeBatch = Callable[[int], RainyPair]


@dataclass(frozen=True, slots=True)
class Row:
    """One loop of one network."""

    network: str
    compiled: bool
    loop: str
    patches_per_second: float
    """Median of the repeats."""
    ratio_to_bare: float
    """Median of the ratios in each repeat."""
    repeats: int
    threads: int
    device: str


@dataclass(frozen=True, slots=True)
class Training:
    """A training in progress."""

    fabric: Fabric
    config: TrainConfig
    data: TrainingData
    state: State

    def patches_per_second(self, take: TakeBatch, seconds: float) -> float:
        """Take steps for some seconds, at least two, and return the speed."""
        began, steps = time.perf_counter(), 0
        while steps < 2 or time.perf_counter() - began < seconds:
            step(self.fabric, self.config, self.state, take(self.state.step))
            steps += 1
        return steps * self.config.batch / (time.perf_counter() - began)

    @contextmanager
    def batches(self, loop: str) -> Iterator[TakeBatch]:
        """Yield the function from which a loop takes its batches."""
        if loop == AHEAD:
            with Batches(self.fabric, self.config, self.data, ahead=True) as batches:
                yield batches.take
        elif loop == BARE:
            pair = self.render(0)
            yield lambda number: pair
        else:
            yield self.render

    def render(self, number: int) -> RainyPair:
        """Render the batch of a step."""
        return batch_of(self.fabric, self.config, self.data, number)


def main() -> None:
    """Measure all networks and write the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.training_step", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--networks", nargs="+", default=["student-small", "student-base"])
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds per loop and repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    data = load_training_data(arguments.data, held_out=False)
    rows: list[Row] = []
    for network, compiled in itertools.product(arguments.networks, ways()):
        training = new_training(TrainConfig(preset=network, compile=compiled), data)
        rows += measure(training, arguments.seconds, arguments.repeats)
        write_table(rows, arguments.out)


def ways() -> tuple[bool, ...]:
    """Return the values of `compile` to measure: False, and True if compilation works."""
    reason = compile_problem()
    if reason:
        print(f"without torch.compile: {reason}")
    return (False,) if reason else (False, True)


def new_training(config: TrainConfig, data: TrainingData) -> Training:
    """Begin a training on the CPU."""
    fabric = launch_fabric("cpu", config.precision)
    return Training(fabric, config, data, begin(fabric, config, Supervised()))


def measure(training: Training, seconds: float, repeats: int) -> list[Row]:
    """Run the loops in turn, and return their rows."""
    rates: dict[str, list[float]] = {BARE: [], AHEAD: [], IN_TURN: []}
    for _ in range(UNTIMED):
        step(training.fabric, training.config, training.state, training.render(training.state.step))
    for _, loop in itertools.product(range(repeats), rates):
        with training.batches(loop) as take:
            rates[loop].append(training.patches_per_second(take, seconds))
    rows = [_row(training, loop, rates) for loop in rates]
    for row in rows:
        print(
            f"{row.network} compiled={row.compiled} {row.loop}: {row.patches_per_second} ({row.ratio_to_bare})"
        )
    return rows


def _row(training: Training, loop: str, rates: dict[str, list[float]]) -> Row:
    ratios = [rate / bare for rate, bare in zip(rates[loop], rates[BARE], strict=True)]
    return Row(
        training.config.preset,
        training.config.compile,
        loop,
        round(median(rates[loop]), 1),
        round(median(ratios), 3),
        len(ratios),
        torch.get_num_threads(),
        device_name(torch.device("cpu")),
    )


if __name__ == "__main__":
    main()

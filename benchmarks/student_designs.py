"""Which student is worth its milliseconds: designs trained for equal seconds, then scored and timed.

    python -m benchmarks.student_designs --data DATA --seconds 200

Every design sees the same batches from the same seed until it has used up its seconds of processor time, of one
thread. Scores are on the validation split; forward passes are timed interleaved, as ratios to PReNet's
architecture. Writes `results/student_designs.csv`.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.brief_training import Budget, scored, trained
from benchmarks.prenet import PReNet
from benchmarks.speed import milliseconds
from models.banks import load_training_data
from models.student import PRESETS, ResidualBlock, Student, StudentConfig
from models.validation import render_validation

RESULTS = Path(__file__).parent / "results" / "student_designs.csv"


class LargeKernelBlock(nn.Module):
    """A depthwise 7x7 convolution beside a 3x3 one and the identity, then two pointwise ones, added to the input.

    The parallel branches train as three and run as one: `merge` adds their kernels (RepVGG, Ding et al., 2021).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.large = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.small: nn.Conv2d | None = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.project = nn.Conv2d(2 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        seen = self.large(features)
        if self.small is not None:
            seen = seen + self.small(features) + features
        refined: Tensor = self.project(F.relu(self.expand(seen)))
        return features + refined

    @torch.no_grad()
    def merge(self) -> None:
        """Fold the small branch and the identity into the large one."""
        if self.small is None:
            return
        self.large.weight += F.pad(self.small.weight, (2, 2, 2, 2))
        self.large.weight[:, :, 3, 3] += 1
        self.large.bias += self.small.bias  # type: ignore[operator]
        self.small = None


class GatedBlock(nn.Module):
    """Pointwise, depthwise 3x3, one half of the channels gating the other, pointwise, added to the input.

    The block of NAFNet (Chen et al., 2022) without its norm and without its global channel attention.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.look = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.project = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Refine features of shape (B, width, H, W)."""
        gate, value = self.look(self.expand(features)).chunk(2, dim=1)
        refined: Tensor = self.project(gate * value)
        return features + refined


@dataclass(frozen=True, slots=True)
class Design:
    """A student's sizes and the kind of its blocks."""

    name: str
    config: StudentConfig
    block: Callable[[int], nn.Module] = ResidualBlock


DESIGNS = (
    Design("dense, unshuffle 2, 32/48/64 (small)", PRESETS["small"]),
    Design("dense, unshuffle 2, 32/64/96, shallow", StudentConfig(2, (32, 64, 96), (1, 1), 2, (1, 1))),
    Design("dense, unshuffle 2, 16/32/64, deep", StudentConfig(2, (16, 32, 64), (2, 2), 4, (2, 2))),
    Design("dense, unshuffle 4, 64/96/128", StudentConfig(4, (64, 96, 128), (1, 2), 3, (2, 2))),
    Design("dense, unshuffle 4, 48/64/96", StudentConfig(4, (48, 64, 96), (1, 2), 3, (2, 2))),
    Design("large kernel, unshuffle 2, 32/64/96", StudentConfig(2, (32, 64, 96)), LargeKernelBlock),
    Design("gated, unshuffle 2, 32/64/96", StudentConfig(2, (32, 64, 96)), GatedBlock),
    Design("dense, unshuffle 2, 32/64/128 (base)", PRESETS["base"]),
)


@dataclass(frozen=True, slots=True)
class DesignRow:
    """One row of the results."""

    design: str
    parameters: int
    seconds: float
    """Processor time spent training."""
    steps: int
    light: float
    heavy: float
    fine: float
    none: float
    ratio_to_prenet: float
    """How many times faster than PReNet's architecture in fp32, at 512x512 in bf16."""


def merge(network: nn.Module) -> None:
    """Fold parallel branches together, as the network would run."""
    for part in network.modules():
        if isinstance(part, LargeKernelBlock):
            part.merge()


def ratios(students: Sequence[nn.Module], repeats: int) -> list[float]:
    """Time all students beside PReNet in interleaved repeats; return the median ratios."""
    torch.manual_seed(0)
    rainy = torch.rand(1, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    prenet = PReNet().eval()
    fast = [student.to(torch.bfloat16) for student in students]
    measured = []
    for _ in range(repeats):
        peer = milliseconds(lambda: prenet(rainy))
        measured.append([peer / milliseconds(lambda fast=one: fast(rainy)) for one in fast])  # type: ignore[misc]
    return [round(median(repeat[i] for repeat in measured), 1) for i in range(len(fast))]


def main() -> None:
    """Parse the command line, train, measure, write and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.student_designs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with clean/, streaks/, garg/")
    parser.add_argument("--seconds", type=float, default=200.0, help="of training, a design")
    parser.add_argument("--repeats", type=int, default=3, help="of timing")
    parser.add_argument("--threads", type=int, default=2, help="of timing; training uses one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = load_training_data(arguments.data, held_out=False)
    pairs = render_validation(load_training_data(arguments.data, held_out=True), 12)
    students, partial = [], []
    for design in DESIGNS:
        torch.manual_seed(0)
        student = Student(design.config, design.block)
        average, steps = trained(student, design.name, data, Budget(seconds=arguments.seconds))
        merge(average)
        partial.append((steps, scored(average, pairs)))
        students.append(average)
        print(design.name, steps, partial[-1][1], flush=True)
    torch.set_num_threads(arguments.threads)
    speed = ratios(students, arguments.repeats)
    rows = [
        DesignRow(
            design=design.name,
            parameters=sum(parameter.numel() for parameter in student.parameters()),
            seconds=arguments.seconds,
            steps=steps,
            **{kind: round(value, 2) for kind, value in asdict(scores).items()},
            ratio_to_prenet=ratio,
        )
        for design, student, (steps, scores), ratio in zip(DESIGNS, students, partial, speed, strict=True)
    ]
    with RESULTS.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()

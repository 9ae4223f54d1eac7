"""Compare designs of students: train them for equal seconds, then score and time them.

    python -m benchmarks.learning.student_designs --data DATA --seconds 200
    python -m benchmarks.learning.student_designs        # only times them again

Every design sees the same batches from the same seed until it has used its seconds of processor time of one thread.
Scores are on the validation split; forward passes are timed interleaved, as ratios to PReNet's architecture. Writes
`results/student_designs.csv`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common.brief_training import Budget, scored, trained
from benchmarks.common.tables import rows_of, write_table
from benchmarks.speed.prenet import PReNet
from benchmarks.speed.run import milliseconds
from models.evaluation.validation import render_validation
from models.networks.descriptor import count_parameters
from models.networks.student import PRESETS, ResidualBlock, Student, StudentConfig
from models.rain.banks import load_training_data

RESULTS = Path(__file__).parents[1] / "results" / "student_designs.csv"


class LargeKernelBlock(nn.Module):
    """A depthwise 7x7 convolution in parallel with a 3x3 one and the identity, then two pointwise ones; residual.

    The three parallel branches of training are merged into one for inference (RepVGG, Ding et al., 2021).
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
    """Pointwise and depthwise 3x3 convolutions, a gate between halves of the channels, a pointwise one; residual.

    It is the block of NAFNet (Chen et al., 2022) without its norm and its global channel attention.
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
    """One design. Scores are psnr_y in dB."""

    design: str
    parameters: int
    seconds: float
    """Processor time spent training."""
    steps: int
    light: float
    heavy: float
    fine: float
    faint: float
    drops: float
    none: float
    ratio_to_prenet: float
    """How many times faster than PReNet's architecture in fp32, at 512x512 in bf16."""


def train_all(data_folder: Path, seconds: float) -> Iterator[DesignRow]:
    """Train and score every design, without timing."""
    data = load_training_data(data_folder, held_out=False)
    pairs = render_validation(load_training_data(data_folder, held_out=True), 12)
    for design in DESIGNS:
        torch.manual_seed(0)
        network, steps = trained(Student(design.config, design.block), design.name, data, Budget(seconds))
        merge(network)
        scores = {kind: round(value, 2) for kind, value in asdict(scored(network, pairs)).items()}
        yield DesignRow(design.name, count_parameters(network), seconds, steps, **scores, ratio_to_prenet=0.0)


def merge(network: nn.Module) -> None:
    """Merge all parallel branches of a network."""
    for part in network.modules():
        if isinstance(part, LargeKernelBlock):
            part.merge()


def ratios(repeats: int) -> list[float]:
    """Time every design and PReNet in interleaved repeats; return the median ratios. Weights do not matter."""
    torch.manual_seed(0)
    rainy = torch.rand(1, 3, 512, 512).contiguous(memory_format=torch.channels_last)
    prenet = PReNet().eval()
    students = [_fast(design) for design in DESIGNS]
    measured = []
    for _ in range(repeats):
        peer = milliseconds(lambda: prenet(rainy))
        measured.append([peer / milliseconds(lambda fast=one: fast(rainy)) for one in students])  # type: ignore[misc]
    return [round(median(column), 1) for column in zip(*measured, strict=True)]


def _fast(design: Design) -> nn.Module:
    student = Student(design.config, design.block).eval()
    merge(student)
    fast: nn.Module = student.to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return fast


def main() -> None:
    """Parse the command line, train, measure, write and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.student_designs", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, help="folder with clean/, streaks/, garg/; without it, time only"
    )
    parser.add_argument("--seconds", type=float, default=200.0, help="training seconds per design")
    parser.add_argument("--repeats", type=int, default=3, help="repeats of timing")
    parser.add_argument("--threads", type=int, default=2, help="threads of timing; training uses one")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = list(train_all(arguments.data, arguments.seconds)) if arguments.data else read()
    torch.set_num_threads(arguments.threads)
    timed = [
        replace(row, ratio_to_prenet=ratio)
        for row, ratio in zip(rows, ratios(arguments.repeats), strict=True)
    ]
    write_table(timed, RESULTS)
    for row in timed:
        print(row)


def read() -> list[DesignRow]:
    """Read the rows of the existing table; end the program if it does not have a current row for every design."""
    kinds = {
        field.name: {"str": str, "int": int, "float": float}[str(field.type)] for field in fields(DesignRow)
    }
    table = rows_of(RESULTS, DesignRow)
    if [row["design"] for row in table] != [design.name for design in DESIGNS]:
        raise SystemExit(f"{RESULTS}: missing or out of date; train the designs first, with --data")
    return [DesignRow(**{name: kind(row[name]) for name, kind in kinds.items()}) for row in table]


if __name__ == "__main__":
    main()

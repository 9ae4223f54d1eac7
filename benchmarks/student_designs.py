"""Which student is worth its milliseconds: designs trained for equal seconds, then scored and timed.

    python -m benchmarks.student_designs --data DATA --seconds 200

Every design sees the same batches from the same seed until it has used up its seconds of processor time, of one
thread. Scores are on the validation split; forward passes are timed interleaved, as ratios to PReNet's
architecture. Writes `results/student_designs.csv`.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from benchmarks.speed import PReNet, milliseconds
from models.banks import TrainingData, load_training_data
from models.draws import Draws
from models.rain import training_pairs
from models.recipes import RECIPES
from models.student import PRESETS, ResidualBlock, Student, StudentConfig
from models.validation import ValidationScore, ValidationSet, render_validation, validate

RESULTS = Path(__file__).parent / "results" / "student_designs.csv"
LEARNING_RATE = 1e-3
BATCH, CROP = 16, 128
WARM_UP_SECONDS = 20.0


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


def trained(design: Design, data: TrainingData, seconds: float) -> tuple[Student, int]:
    """Train a design from new weights for so many seconds; return its average and the steps it took."""
    torch.manual_seed(0)
    student = Student(design.config, design.block).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.AveragedModel(
        student,
        multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.99),  # type: ignore[no-untyped-call]
    )
    optimizer = torch.optim.AdamW(student.parameters(), lr=LEARNING_RATE, weight_decay=1e-5, fused=True)
    begun, step = time.process_time(), 0
    with tqdm(total=round(seconds), desc=design.name, unit="s", mininterval=5) as progress:
        while (used := time.process_time() - begun) < seconds:
            progress.update(round(used) - progress.n)
            for group in optimizer.param_groups:
                group["lr"] = LEARNING_RATE * min(used / WARM_UP_SECONDS, 1.0, 2 * (1 - used / seconds))
            _step(student, optimizer, data, step)
            average.update_parameters(student)
            step += 1
    best: Student = average.module  # type: ignore[assignment]
    return best, step


def _step(student: Student, optimizer: torch.optim.Optimizer, data: TrainingData, step: int) -> None:
    samples = torch.arange(step * BATCH, (step + 1) * BATCH)
    pair = training_pairs(data, Draws(1, samples), RECIPES["mixed"], CROP)
    with torch.autocast("cpu", torch.bfloat16):
        loss = torch.stack(list(student.loss_terms(pair).values())).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(student.parameters(), 0.5)
    optimizer.step()
    optimizer.zero_grad()


def score(student: Student, pairs: ValidationSet) -> ValidationScore:
    """Score a student as it would run: branches merged, in bf16."""
    for part in student.modules():
        if isinstance(part, LargeKernelBlock):
            part.merge()
    with torch.autocast("cpu", torch.bfloat16):
        return validate(student.eval(), pairs)


def ratios(students: Sequence[Student], repeats: int) -> list[float]:
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
        student, steps = trained(design, data, arguments.seconds)
        partial.append((steps, score(student, pairs)))
        students.append(student)
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

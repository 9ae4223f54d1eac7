"""Speed of the student beside PReNet: `python -m benchmarks.speed` writes benchmarks/results/speed.csv.

Both run their usual eager PyTorch path on the same noise (timing needs no trained weights) in interleaved
repeats. Milliseconds are of this machine and this moment: only the ratios may be quoted. The process starts
itself again with glibc's allocator told to keep freed memory, as derain-batch does for its workers: otherwise
every forward pass pays for page faults, PReNet's too.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from models.descriptor import count_gmac, count_parameters
from models.student import PRESETS, Student

RESULTS = Path(__file__).parent / "results" / "speed.csv"
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
TIMED_SECONDS = 1.5
"""Each repeat of a network takes about this long, and at least two forward passes."""


class PReNet(nn.Module):
    """The architecture of Ren et al., "Progressive Image Deraining Networks", CVPR 2019: the peer in speed.

    Six recurrent stages share their weights. Each sees the rainy image and the last estimate, runs them through
    a convolution, a convolutional LSTM and five residual blocks, and adds the result to the rainy image.
    """

    stages = 6

    def __init__(self, width: int = 32, blocks: int = 5) -> None:
        super().__init__()
        self.inlet = nn.Sequential(_conv(6, width), nn.ReLU())
        self.gates = nn.ModuleList(_conv(2 * width, width) for _ in range(4))
        self.residual = nn.ModuleList(
            nn.Sequential(_conv(width, width), nn.ReLU(), _conv(width, width), nn.ReLU())
            for _ in range(blocks)
        )
        self.outlet = _conv(width, 3)

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain (B, 3, H, W)."""
        estimate = rainy
        hidden = cell = rainy.new_zeros(len(rainy), self.outlet.in_channels, *rainy.shape[-2:])
        for _ in range(self.stages):
            hidden, cell = self._remember(torch.cat((rainy, estimate), 1), hidden, cell)
            features = hidden
            for block in self.residual:
                features = torch.relu(block(features) + features)
            estimate = self.outlet(features) + rainy
        return estimate

    def _remember(self, seen: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        joined = torch.cat((self.inlet(seen), hidden), 1)
        take, keep, new, show = (gate(joined) for gate in self.gates)
        cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
        return torch.sigmoid(show) * torch.tanh(cell), cell


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)


@dataclass(frozen=True, slots=True)
class Contender:
    """A network and how it is run."""

    network: str
    technique: str
    module: nn.Module
    rainy: Tensor

    def forward(self) -> Tensor:
        """Run one forward pass."""
        derained: Tensor = self.module(self.rainy)
        return derained


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One row of the results."""

    benchmark: str
    network: str
    technique: str
    size: int
    threads: int
    ms_median: float
    ratio_to_prenet: float
    """How many times faster than PReNet in fp32; the median over repeats of the ratio within each."""
    parameters: int
    gmac: float
    device: str


def contenders(size: int) -> list[Contender]:
    """Build what is compared; the first is what ratios refer to."""
    torch.manual_seed(0)
    rainy = torch.rand(1, 3, size, size)
    fast_rainy = rainy.contiguous(memory_format=torch.channels_last)
    prenet, student = PReNet().eval(), Student(PRESETS["base"]).eval()
    return [
        Contender("PReNet", "fp32", prenet, rainy),
        Contender("PReNet", "bf16 channels_last", _fast(PReNet()), fast_rainy.bfloat16()),
        Contender("student-base", "fp32", student, rainy),
        Contender("student-base", "bf16 channels_last", _fast(Student(PRESETS["base"])), fast_rainy),
    ]


def _fast(module: nn.Module) -> nn.Module:
    return module.eval().to(dtype=torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def measure(compared: Sequence[Contender], repeats: int) -> list[list[float]]:
    """Return milliseconds a forward pass of each contender, a list of all in each interleaved repeat."""
    return [[milliseconds(contender.forward) for contender in compared] for _ in range(repeats)]


@torch.inference_mode()
def milliseconds(forward: Callable[[], Tensor]) -> float:
    """Time forward passes for `TIMED_SECONDS`, after one that is not timed; the median."""
    forward()
    times: list[float] = []
    while len(times) < 2 or sum(times) < TIMED_SECONDS:
        begun = time.perf_counter()
        forward()
        times.append(time.perf_counter() - begun)
    return 1000 * median(times)


def summarise(compared: Sequence[Contender], repeats: list[list[float]], threads: int) -> list[SpeedRow]:
    """Turn the times of all repeats into rows."""
    return [
        SpeedRow(
            benchmark="forward",
            network=contender.network,
            technique=contender.technique,
            size=contender.rainy.shape[-1],
            threads=threads,
            ms_median=round(median(times[i] for times in repeats), 2),
            ratio_to_prenet=round(median(times[0] / times[i] for times in repeats), 2),
            parameters=count_parameters(contender.module),
            gmac=round(count_gmac(contender.module, contender.rainy.shape[-1]), 2),
            device=device_name(),
        )
        for i, contender in enumerate(compared)
    ]


def device_name() -> str:
    """Name the processor."""
    flags = Path("/proc/cpuinfo")
    lines = flags.read_text().splitlines() if flags.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def write(rows: Sequence[SpeedRow], path: Path) -> None:
    """Write the results as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = list(SpeedRow.__dataclass_fields__)
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        writer.writerows([getattr(row, column) for column in columns] for row in rows)


def _start_again_with_allocator() -> None:
    """Replace this process by one with `ALLOCATOR` in its environment: glibc reads it only at the start."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        command = [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})


def main() -> None:
    """Parse the command line, measure, write and print."""
    _start_again_with_allocator()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="interleaved")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    compared = contenders(arguments.size)
    rows = summarise(compared, measure(compared, arguments.repeats), arguments.threads)
    write(rows, arguments.out)
    for row in rows:
        print(
            f"{row.network:13} {row.technique:19} {row.ms_median:9.2f} ms  {row.ratio_to_prenet:7.2f}x PReNet"
            f"  {row.parameters:>9,} parameters  {row.gmac:7.2f} GMAC"
        )


if __name__ == "__main__":
    main()

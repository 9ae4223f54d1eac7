"""Measure the speed of networks, technique by technique: `python -m benchmarks.speed` writes `results/speed.csv`.

All contenders of a batch size run on the same picture in interleaved repeats. Batch sizes are built, measured,
written and freed one after the other; contenders that do not fit in the device's memory are left out with a
message. Milliseconds hold for one machine at one moment: quote only ratios. On a CPU, the process restarts itself
with glibc's allocator set to keep freed memory, as derain-batch does for its workers: otherwise every pass would
pay for page faults, PReNet's too.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from benchmarks.common.device import device_name
from benchmarks.common.peak_memory import peak_mib, peak_mib_on_gpu
from benchmarks.common.tables import rows_of, write_table
from benchmarks.speed.techniques import (
    CUDA_GRAPHS,
    PRENET,
    TECHNIQUES,
    Forward,
    Variant,
    forward_of,
    known_networks,
    picture,
    variants,
    weights_of,
)
from models.engine import choose_device
from models.networks.descriptor import count_gmac, count_parameters

RESULTS = Path(__file__).parents[1] / "results" / "speed.csv"
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "8589934592"}
TIMED_SECONDS = 1.5
"""Approximate seconds of each repeat of a variant, which has at least two forward passes."""
UNTIMED = 3
"""Untimed forward passes on a GPU, which compile, choose kernels and record CUDA graphs."""
MEASURED = ("network", "technique", "size", "batch", "threads", "device")
"""Columns that identify a row."""
NETWORKS = ["student-small", "student-base", "student-large", "afr-net-large", "drd-net-slim", "u-net-slim"]


@dataclass(frozen=True, slots=True)
class SpeedRow:
    """One variant on one device."""

    network: str
    technique: str
    size: int
    batch: int
    ms_median: float
    """Milliseconds per batch."""
    images_per_second: float
    megapixels_per_second: float
    ratio_to_prenet: float
    """Speed over that of PReNet in fp32 on the same batch: the median of the ratios in each repeat; nan if PReNet
    did not fit in memory."""
    mib: float
    """Peak memory of a forward pass beyond weights and input; nan for CUDA graphs, which keep their memory."""
    psnr_to_fp32: float
    """PSNR of the output against that of fp32, dB; infinite if they are equal, nan if fp32 did not fit in
    memory."""
    parameters: int
    gmac: float
    """GMAC per image."""
    threads: int
    device: str


@dataclass(frozen=True, slots=True)
class Contender:
    """A variant, ready to run."""

    variant: Variant
    forward: Forward
    rainy: Tensor

    def run(self) -> Tensor:
        """Run one forward pass to its end."""
        derained = self.forward(self.rainy)
        if derained.is_cuda:
            torch.cuda.synchronize()
        return derained


def contenders(networks: list[str], device: torch.device, batch: int, size: int) -> list[Contender]:
    """Build the variants of one batch size; those with the same memory layout share a picture."""
    pictures: dict[bool, Tensor] = {}
    compared = []
    for variant in variants(networks, device, [batch]):
        layout = "channels_last" in variant.technique
        if layout not in pictures:
            pictures[layout] = picture(variant, size, device)
        compared.append(Contender(variant, forward_of(variant, device), pictures[layout]))
    return compared


def measure(compared: Sequence[Contender], repeats: int) -> list[list[float]]:
    """Return the milliseconds per forward pass of all contenders, one list per interleaved repeat.

    They are nan for contenders that do not fit in the device's memory.
    """
    return [[_milliseconds_if_it_fits(contender) for contender in compared] for _ in range(repeats)]


def _milliseconds_if_it_fits(contender: Contender) -> float:
    try:
        return milliseconds(contender.run, UNTIMED if contender.rainy.is_cuda else 1)
    except torch.OutOfMemoryError:
        pass  # until the handler ends, the traceback keeps the tensors that did fit
    torch.cuda.empty_cache()
    return math.nan


@torch.inference_mode()
def milliseconds(forward: Callable[[], object], untimed: int = 1) -> float:
    """Time forward passes for `TIMED_SECONDS` after some untimed ones; return the median."""
    for _ in range(untimed):
        forward()
    times: list[float] = []
    while len(times) < 2 or sum(times) < TIMED_SECONDS:
        started = time.perf_counter()
        forward()
        times.append(time.perf_counter() - started)
    return 1000 * median(times)


def summarise(
    compared: Sequence[Contender], repeats: list[list[float]], size: int, device: torch.device
) -> list[SpeedRow]:
    """Build the rows of all contenders that fitted in memory from the times of all repeats."""
    fitted = [not any(math.isnan(times[number]) for times in repeats) for number in range(len(compared))]
    for contender in itertools.compress(compared, [not fits for fits in fitted]):
        print(
            f"{contender.variant}: left out, because it does not fit in the memory of {device_name(device)}"
        )
    times = [list(itertools.compress(each, fitted)) for each in repeats]
    compared = list(itertools.compress(compared, fitted))
    return [_row(compared, times, number, size, device) for number in range(len(compared))]


def _row(
    compared: Sequence[Contender], repeats: list[list[float]], number: int, size: int, device: torch.device
) -> SpeedRow:
    contender, variant = compared[number], compared[number].variant
    prenet = _number_of(compared, Variant(PRENET, TECHNIQUES[0], variant.batch))
    exact = _number_of(compared, Variant(variant.network, TECHNIQUES[0], variant.batch))
    ratios = [times[prenet] / times[number] for times in repeats] if prenet is not None else [math.nan]
    ms = median(times[number] for times in repeats)
    network = weights_of(variant.network)
    return SpeedRow(
        network=variant.network,
        technique=variant.technique,
        size=size,
        batch=variant.batch,
        ms_median=round(ms, 2),
        images_per_second=round(1000 * variant.batch / ms, 2),
        megapixels_per_second=round(variant.batch * size**2 / ms / 1000, 2),
        ratio_to_prenet=round(median(ratios), 2),
        mib=round(_peak_mib(contender, size, device), 1),
        psnr_to_fp32=round(agreement(contender, compared[exact]), 2) if exact is not None else math.nan,
        parameters=count_parameters(network),
        gmac=round(count_gmac(network), 2),
        threads=torch.get_num_threads(),
        device=device_name(device),
    )


def _number_of(compared: Sequence[Contender], variant: Variant) -> int | None:
    return next((number for number, each in enumerate(compared) if each.variant == variant), None)


def _peak_mib(contender: Contender, size: int, device: torch.device) -> float:
    if device.type == "cpu":
        return peak_mib(contender.variant, size)
    if contender.variant.technique == CUDA_GRAPHS:
        return math.nan
    return peak_mib_on_gpu(contender.forward, contender.rainy, UNTIMED)


@torch.inference_mode()
def agreement(contender: Contender, exact: Contender) -> float:
    """Return the PSNR of one contender's first photograph against another's, dB, peak 1."""
    output, reference = (each.run()[:1].float().cpu() for each in (contender, exact))
    error = float((output - reference).square().mean())
    return math.inf if error == 0 else -10 * float(torch.log10(torch.tensor(error)))


def write(rows: Sequence[SpeedRow], path: Path) -> None:
    """Write rows, which replace earlier ones of the same measurement; other rows stay."""
    replaced = {tuple(str(getattr(row, name)) for name in MEASURED) for row in rows}
    others = [row for row in rows_of(path, SpeedRow) if tuple(row[name] for name in MEASURED) not in replaced]
    write_table(rows, path, kept=others)


def _start_again_with_allocator() -> None:
    """Replace this process by one with `ALLOCATOR` in its environment, which glibc reads only at the start."""
    if any(os.environ.get(name) != value for name, value in ALLOCATOR.items()):
        command = [sys.executable, "-m", "benchmarks.speed", *sys.argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **ALLOCATOR})


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--networks", nargs="+", choices=known_networks(), default=NETWORKS)
    parser.add_argument("--size", type=int, default=512, help="height and width in pixels")
    parser.add_argument("--batches", type=int, nargs="+", default=[1], help="images per forward pass")
    parser.add_argument("--device", default="auto", help="cpu, cuda; default: cuda if there is one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    """Parse the command line, measure, write and print."""
    _start_again_with_allocator()
    arguments = _parse()
    torch.set_num_threads(arguments.threads)
    device = choose_device(arguments.device)
    for batch in arguments.batches:
        compared = contenders(arguments.networks, device, batch, arguments.size)
        rows = summarise(compared, measure(compared, arguments.repeats), arguments.size, device)
        if rows:
            write(rows, arguments.out)
        _print(rows)
        del compared  # free the memory for the next batch size
        torch.compiler.reset()  # the compiler keeps what it compiled for this batch size
        gc.collect()
        torch.cuda.empty_cache()


def _print(rows: Sequence[SpeedRow]) -> None:
    for row in rows:
        print(
            f"{row.network:14} {row.technique:28} x{row.batch:<3} {row.ms_median:9.2f} ms"
            f"  {row.ratio_to_prenet:7.2f}x PReNet  {row.mib:8.1f} MiB  {row.psnr_to_fp32:6.1f} dB to fp32"
        )


if __name__ == "__main__":
    main()

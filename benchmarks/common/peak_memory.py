"""Peak memory of one forward pass; on a CPU it is measured in a separate process, on Linux only.

python -m benchmarks.common.peak_memory NETWORK TECHNIQUE SIZE BATCH
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speed.techniques import Forward, Variant, forward_of, picture


@torch.inference_mode()
def peak_mib_on_gpu(forward: Forward, rainy: Tensor, untimed: int) -> float:
    """Return the additional memory at the peak of a forward pass in MiB, after `untimed` passes."""
    for _ in range(untimed):
        forward(rainy)
    torch.cuda.reset_peak_memory_stats(rainy.device)
    before = torch.cuda.memory_allocated(rainy.device)
    forward(rainy)
    return (torch.cuda.max_memory_allocated(rainy.device) - before) / 2**20


def peak_mib(variant: Variant, size: int) -> float:
    """Return the additional memory at the peak of a forward pass on a CPU, in MiB."""
    arguments = [variant.network, variant.technique, str(size), str(variant.batch)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.common.peak_memory", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


@torch.inference_mode()
def _of_forward(variant: Variant, size: int) -> float:
    cpu = torch.device("cpu")
    forward, rainy = forward_of(variant, cpu), picture(variant, size, cpu)
    before = _peak_kib()
    forward(rainy)
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    # Not `getrusage`: its peak includes that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    network, technique, size, batch = sys.argv[1:]
    print(_of_forward(Variant(network, technique, int(batch)), int(size)))

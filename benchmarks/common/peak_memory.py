"""Memory of one forward pass: on a CPU in a process of its own, on Linux.

python -m benchmarks.common.peak_memory NETWORK TECHNIQUE SIZE BATCH
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.speed.techniques import Forward, Rung, forward_of, picture


@torch.inference_mode()
def peak_mib_on_gpu(forward: Forward, rainy: Tensor, untimed: int) -> float:
    """Return MiB that a forward pass takes at its peak beyond what is held before it, once some have been run."""
    for _ in range(untimed):
        forward(rainy)
    torch.cuda.reset_peak_memory_stats(rainy.device)
    before = torch.cuda.memory_allocated(rainy.device)
    forward(rainy)
    return (torch.cuda.max_memory_allocated(rainy.device) - before) / 2**20


def peak_mib(rung: Rung, size: int) -> float:
    """Return MiB that a forward pass takes on a CPU at its peak beyond what the process holds before it."""
    arguments = [rung.network, rung.technique, str(size), str(rung.batch)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.common.peak_memory", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


@torch.inference_mode()
def _of_forward(rung: Rung, size: int) -> float:
    cpu = torch.device("cpu")
    forward, rainy = forward_of(rung, cpu), picture(rung, size, cpu)
    before = _peak_kib()
    forward(rainy)
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    # Not `getrusage`: what that calls a process's peak begins with the peak of the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    network, technique, size, batch = sys.argv[1:]
    print(_of_forward(Rung(network, technique, int(batch)), int(size)))

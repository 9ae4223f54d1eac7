"""Memory of one forward pass, in a process of its own, on Linux.

python -m benchmarks.peak_memory NETWORK TECHNIQUE SIZE BATCH
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.ladder import Rung, forward_of, picture


def peak_mib(rung: Rung, size: int, device: torch.device) -> float:
    """Return MiB that a forward pass takes at its peak beyond what the process holds before it."""
    if device.type == "cuda":
        return _of_forward(rung, size, device)
    arguments = [rung.network, rung.technique, str(size), str(rung.batch)]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.peak_memory", *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    return float(run.stdout)


@torch.inference_mode()
def _of_forward(rung: Rung, size: int, device: torch.device) -> float:
    forward, rainy = forward_of(rung, device), picture(rung, size, device)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        forward(rainy)
        return (torch.cuda.max_memory_allocated(device) - before) / 2**20
    before = _peak_kib()
    forward(rainy)
    return (_peak_kib() - before) / 1024


def _peak_kib() -> int:
    # Not `getrusage`: what that calls a process's peak begins with the peak of the process that started it.
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])


if __name__ == "__main__":
    network, technique, size, batch = sys.argv[1:]
    print(_of_forward(Rung(network, technique, int(batch)), int(size), torch.device("cpu")))

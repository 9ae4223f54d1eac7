"""Memory of one forward pass, in a process of its own.

python -m benchmarks.peak_memory NETWORK TECHNIQUE SIZE BATCH
"""

from __future__ import annotations

import resource
import subprocess
import sys

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
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    forward(rainy)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    network, technique, size, batch = sys.argv[1:]
    print(_of_forward(Rung(network, technique, int(batch)), int(size), torch.device("cpu")))

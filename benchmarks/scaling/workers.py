"""Throughput of two local workers compared with one (`measure`).

The time of a job with few photographs is subtracted from that of one with many, so that starts and ends of runs
do not count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.common.frames import write_frames
from models.modelfile import STUDENT_BASE

ROOT = Path(__file__).parents[2]
FEW, MANY = 60, 460
REPEATS = 3


def measure(folder: Path) -> dict[str, float]:
    """Return the throughput of two workers over twice that of one: medians of interleaved repeats.

    Parameters
    ----------
    folder : Path
        Empty folder for photographs and outputs.
    """
    for images in (FEW, MANY):
        write_frames(folder / f"source-{images}", images, None)
    further: dict[int, list[float]] = {1: [], 2: []}
    for repeat in range(REPEATS):
        for workers, seconds in further.items():
            few, many = (_seconds(folder, images, workers, repeat) for images in (FEW, MANY))
            seconds.append((many - few) / (MANY - FEW))
    ratios = [one / (2 * two) for one, two in zip(further[1], further[2], strict=True)]
    return {
        "throughput of two workers over twice that of one, ratio": median(ratios),
        "the lowest of the repeats, ratio": min(ratios),
        "the highest of the repeats, ratio": max(ratios),
    }


def _seconds(folder: Path, images: int, workers: int, repeat: int) -> float:
    """Run `derain` on a number of images and workers; return the seconds of the whole job."""
    source, home = folder / f"source-{images}", folder / f"{images}-{workers}-{repeat}"
    home.mkdir()
    command = [
        sys.executable,
        "-m",
        "flows.console",
        str(source),
        str(home / "out"),
        "--model",
        str(STUDENT_BASE),
    ]
    settings = {
        "DERAIN_WORKERS": str(workers),
        "DERAIN_WORKSPACE": str(home / "workspace"),
        "PYTHONPATH": str(ROOT),
    }
    started = time.perf_counter()
    subprocess.run(command, env={**os.environ, **settings}, cwd=home, check=True, capture_output=True)
    seconds = time.perf_counter() - started
    outputs = sum(1 for _ in (home / "out").iterdir())
    if outputs != images:
        raise SystemExit(f"{images} images, {workers} workers: {outputs} outputs")
    return seconds

"""Measure the overhead of derain-batch beyond the work on images, and the time to its first output.

    python -m benchmarks.speed.derain_batch --data DATA

`DATA` contains `real_frames` and `real_rain`. The figures are medians of three interleaved repeats, as ratios
within one run:

- `efficiency`: CPU seconds of decoding, deraining and encoding in the workers, over cores x wall time of the work,
  which includes the start of the workers, loading the model, all waves and their commits, and the end of the
  workers;
- `efficiency of the whole run`: the same over the time of the whole run, with preflight and planning;
- `first output`: time from the command to the first output, over the time of a bare Prefect flow.

Writes `results/derain_batch.csv`.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from flows.derain_batch import derain_batch
from infra.dask.local_cluster import local_workers
from infra.settings import read_settings
from models.modelfile import STUDENT_BASE
from tasks.batch.summary import RunSummary

RESULTS = Path(__file__).parents[1] / "results" / "derain_batch.csv"
REPEATS = 3
BARE_FLOW = "import prefect\n@prefect.flow\ndef bare(): pass\nbare()"


def main() -> None:
    """Measure, print and write all rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.speed.derain_batch", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with real_frames and real_rain")
    parser.add_argument("--images", type=int, default=2000, help="number of images, each under its own key")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        source = Path(folder, "source")
        case = f"{arguments.images} images, {spread(arguments.data, source, arguments.images)}"
        efficiencies, firsts = [], []
        for repeat in range(REPEATS):
            efficiencies.append(efficiency(source, Path(folder, str(repeat))))
            first = first_output(source, Path(folder, f"first{repeat}"))
            firsts.append(first / _seconds(lambda: _python(["-c", BARE_FLOW])))
    works, runs = zip(*efficiencies, strict=True)
    _write(
        case,
        {
            "efficiency": works,
            "efficiency of the whole run": runs,
            "first output / bare flow": firsts,
        },
    )


def spread(data: Path, source: Path, count: int) -> str:
    """Fill a folder with `count` images, frames and photographs in turn, each under many keys; return its size."""
    source.mkdir(parents=True)
    frames = sorted(data.glob("real_frames/*.*"))
    photographs = sorted((data / "real_rain").glob("*.[jp]*g"))
    pictures = [path for path in frames if path.suffix != ".csv"] * 4 + photographs
    for number in range(count):
        original = pictures[number % len(pictures)]
        shutil.copy(original, source / f"{number:05d}{original.suffix}")
    return f"{sum(path.stat().st_size for path in source.iterdir()) / 1e6:.0f} MB"


def efficiency(source: Path, home: Path) -> tuple[float, float]:
    """Derain all images; return the share of the cores' time that went into the images themselves.

    Returns
    -------
    tuple of float
        Shares of the time of the work, and of the whole run.
    """
    os.environ["DERAIN_WORKSPACE"] = str(home / "workspace")
    state: Any = derain_batch(str(source), str(home / "out"), model=str(STUDENT_BASE), return_state=True)
    summary: RunSummary = state.result()
    if summary.counts.derained != summary.counts.listed:
        raise SystemExit(f"the run ended with {summary.line()}")
    shutil.rmtree(home)
    cores = local_workers(read_settings())
    whole = (summary.finished_at - summary.started_at).total_seconds()
    return summary.image_seconds / (summary.wall_seconds * cores), summary.image_seconds / (whole * cores)


def first_output(source: Path, home: Path) -> float:
    """Start the command on a few images; return the seconds until the first output exists."""
    command = ["-m", "flows.derain_batch", "--source", str(source), "--destination", str(home / "out")]
    environment = {**os.environ, "DERAIN_WORKSPACE": str(home / "workspace")}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command, "--limit", "8"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not any((home / "out").glob("[!.]*")):
        if process.poll() is not None:
            raise SystemExit(f"the run ended with {process.returncode} and no output")
        time.sleep(0.02)
    seconds = time.perf_counter() - started
    process.wait()
    return seconds


def _seconds(run: Callable[[], None]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def _python(arguments: list[str]) -> None:
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def _write(case: str, measured: Mapping[str, Sequence[float]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["benchmark", "case", "median", "minimum", "maximum", "repeats", "unit"])
        for name, values in measured.items():
            figures = [round(figure, 3) for figure in (median(values), min(values), max(values))]
            writer.writerow([name, case, *figures, len(values), "ratio"])
            print(f"{name}: {figures[0]} ({figures[1]} to {figures[2]})")


if __name__ == "__main__":
    main()

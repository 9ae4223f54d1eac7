"""What derain-batch costs beside the images themselves, and how soon the first output is there.

    python -m benchmarks.derain_batch --data DATA

`DATA` holds `real_frames` and `real_rain`. Three interleaved repeats, medians, ratios within one run:

- `efficiency`: CPU seconds of decoding, deraining and encoding in the workers, over cores x wall time of the run;
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
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from infra.cluster import local_workers
from infra.settings import Settings
from models.modelfile import SHIPPED
from tasks.batch import BatchRequest, derain_pending
from tasks.exports import Export
from tasks.preflight import prepare
from tasks.sources import Selection

RESULTS = Path(__file__).parent / "results" / "derain_batch.csv"
REPEATS = 3
BARE_FLOW = "import prefect\n@prefect.flow\ndef bare(): pass\nbare()"


def main() -> None:
    """Measure, print and write all rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.derain_batch", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with real_frames and real_rain")
    parser.add_argument("--images", type=int, default=1200, help="how many images, under as many keys")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        source = Path(folder, "source")
        pixels = spread(arguments.data, source, arguments.images)
        efficiencies, firsts, bares = [], [], []
        for repeat in range(REPEATS):
            efficiencies.append(efficiency(source, Path(folder, str(repeat))))
            firsts.append(first_output(source, Path(folder, f"first{repeat}")))
            bares.append(_seconds(lambda: _python(["-c", BARE_FLOW])))
    ratios = [first / bare for first, bare in zip(firsts, bares, strict=True)]
    case = f"{arguments.images} images, {pixels}"
    _write([("efficiency", case, efficiencies), ("first output / bare flow", case, ratios)])


def spread(data: Path, source: Path, count: int) -> str:
    """Fill a folder with so many images: frames and photographs in turn, each under many keys."""
    source.mkdir(parents=True)
    frames = sorted(data.glob("real_frames/*.*"))
    photographs = sorted((data / "real_rain").glob("*.[jp]*g"))
    pictures = [path for path in frames if path.suffix != ".csv"] * 4 + photographs
    for number in range(count):
        original = pictures[number % len(pictures)]
        shutil.copy(original, source / f"{number:05d}{original.suffix}")
    return f"{sum(path.stat().st_size for path in source.iterdir()) / 1e6:.0f} MB"


def efficiency(source: Path, home: Path) -> float:
    """Derain all images and return the share of the cores' time that went into the images themselves."""
    settings = Settings(workspace=str(home / "workspace"))
    prepared = prepare(settings, str(source), str(home / "out"), Export("same"), str(SHIPPED))
    request = BatchRequest(home.name, datetime.now(UTC), Selection(), "none")
    summary = derain_pending(settings, prepared, request)
    shutil.rmtree(home)
    return summary.image_seconds / (summary.wall_seconds * local_workers(settings))


def first_output(source: Path, home: Path) -> float:
    """Start the command on a few images and return the seconds until the first output lies there."""
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


def _write(measured: list[tuple[str, str, list[float]]]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["benchmark", "case", "median", "minimum", "maximum", "repeats", "unit"])
        for name, case, values in measured:
            figures = [round(figure, 3) for figure in (median(values), min(values), max(values))]
            writer.writerow([name, case, *figures, len(values), "ratio"])
            print(f"{name}: {figures[0]} ({figures[1]} to {figures[2]})")


if __name__ == "__main__":
    main()

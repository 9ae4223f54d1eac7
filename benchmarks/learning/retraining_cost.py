"""What a retraining costs: wall seconds, processor seconds and bytes read, for this checkout and an earlier one.

    python -m benchmarks.learning.retraining_cost [--compare CHECKOUT]

Sample photographs under rain go through `python -m flows.ingest`; then `python -m flows.retrain --preset smoke` is
measured, with all its processes. Each checkout has a workspace of its own and the same photographs. `CHECKOUT` is a
folder with another version of this project; its `.venv` runs it if it has one, or else this interpreter. Each is a
row of `results/retraining_cost.csv`, in place of the one of the same commit.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow

from benchmarks.common.photographs import middle
from benchmarks.common.tables import rows_of, write_table
from tasks.media.samples import photograph, rain_on
from tasks.promotion.validation_samples import PHOTOGRAPHS, make_validation

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results" / "retraining_cost.csv"
SIDE = 256
RETRAIN = ("flows.retrain", "--preset", "smoke")


@dataclass(frozen=True, slots=True)
class CostRow:
    """One retraining."""

    commit: str
    wall_seconds: float
    processor_seconds: float
    """Of all processes, user and system time."""
    megabytes_read: float
    """By system calls of all processes, from files and pipes; memory-mapped files do not count."""
    result: str


def measure(checkout: Path, photographs: Path, environment: Mapping[str, str]) -> CostRow:
    """Ingest and retrain in a new workspace with the code of a checkout; only the retraining is measured."""
    with tempfile.TemporaryDirectory() as workspace:
        variables = {**environment, "DERAIN_WORKSPACE": workspace, "PREFECT_HOME": f"{workspace}/prefect"}
        run_module(checkout, ("flows.ingest", "--source", str(photographs)), variables)
        wall, processor, read = time.monotonic(), processor_seconds(), bytes_read()
        result = run_module(checkout, RETRAIN, variables)
        return CostRow(
            commit_of(checkout),
            round(time.monotonic() - wall, 1),
            round(processor_seconds() - processor, 1),
            round((bytes_read() - read) / 1e6, 1),
            result.replace(workspace, "WORKSPACE"),
        )


def run_module(checkout: Path, arguments: tuple[str, ...], variables: Mapping[str, str]) -> str:
    """Run a module of a checkout; return the last line that it prints.

    Raises
    ------
    SystemExit
        If it fails; what it printed is the message.
    """
    own = checkout / ".venv" / "bin" / "python"
    command = [str(own) if own.exists() else sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed\n{done.stdout}\n{done.stderr}")
    return next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bytes_read() -> int:
    """Return what this process and its ended children have read by system calls (Linux: `rchar`)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.removeprefix("rchar:") for line in lines if line.startswith("rchar:")))


def commit_of(checkout: Path) -> str:
    """Return the short name of the commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def write_photographs(folder: Path) -> Path:
    """Write sample photographs under rain, each a source group of its own; return their folder."""
    for number, name in enumerate(PHOTOGRAPHS):
        scene = folder / f"scene{number}"
        scene.mkdir(parents=True)
        Pillow.fromarray(rain_on(middle(photograph(name), SIDE), number)).save(scene / "1.png")
    return folder


def main() -> None:
    """Measure the other checkout, if there is one, then this one; write each as it is done."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.retraining_cost", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--compare", type=Path, help="folder with an earlier version, which runs first")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    checkouts = [arguments.compare.resolve()] if arguments.compare else []
    with tempfile.TemporaryDirectory() as folder:
        photographs = write_photographs(Path(folder, "photographs"))
        validation = make_validation(folder)
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DERAIN_")},
            "DERAIN_DEVICE": "cpu",
            "DERAIN_WORKERS": "1",
            "DERAIN_VALIDATION": validation,
        }
        for checkout in (*checkouts, ROOT):
            row = measure(checkout, photographs, environment)
            print(row, flush=True)
            kept = [each for each in rows_of(arguments.results, CostRow) if each["commit"] != row.commit]
            write_table([row], arguments.results, kept=kept)


if __name__ == "__main__":
    main()

"""Measure the cost of a retraining before and after changes: wall seconds, processor seconds and bytes read.

    python -m benchmarks.learning.retraining_cost [--before COMMIT] [--rounds ROUNDS]

Sample photographs under rain go through `python -m flows.ingest`; then `python -m flows.retrain --preset smoke` is
measured with all its processes, for an earlier commit and for this checkout, in alternating order if there are
several rounds. The commit is checked out into a temporary folder; this interpreter runs both, each in a new
workspace with the same photographs. `results/retraining_cost.csv` is replaced and gets one row per retraining.
"""

from __future__ import annotations

import argparse
import compileall
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow

from benchmarks.common.photographs import middle
from benchmarks.common.tables import write_table
from infra.storage.location import open_location
from tasks.media.samples import PHOTOGRAPHS, SAMPLES, photograph, rain_on
from tasks.promotion.validation_samples import MANIFEST, write_validation

ROOT = Path(__file__).parents[2]
RESULTS = Path(__file__).parents[1] / "results" / "retraining_cost.csv"
COUNTER = Path(__file__).with_name("import_bytes")
"""Folder of the module that counts the bytes that imports read."""
SIDE = 256
RETRAIN = ("flows.retrain", "--preset", "smoke")
PACKAGES = ("flows", "tasks", "models", "infra")


@dataclass(frozen=True, slots=True)
class CostRow:
    """One retraining."""

    version: str
    """`before` or `after`."""
    commit: str
    wall_seconds: float
    processor_seconds: float
    """User and system time of all processes."""
    megabytes_imported: float
    """Bytes that all processes read for imported modules, of this project and of libraries."""
    megabytes_read: float
    """Other bytes that all processes read by system calls, from files and pipes; memory-mapped files do not
    count."""
    result: str


def measure(version: str, checkout: Path, photographs: Path, environment: Mapping[str, str]) -> CostRow:
    """Ingest and retrain in a new workspace with the code of a checkout; only the retraining is measured."""
    with tempfile.TemporaryDirectory() as workspace:
        variables = {**environment, "DERAIN_WORKSPACE": workspace, "PREFECT_HOME": f"{workspace}/prefect"}
        run_module(checkout, ("flows.ingest", "--source", str(photographs)), variables)
        lines = Path(workspace, "import_bytes")
        counted = {**variables, "PYTHONPATH": str(COUNTER), "IMPORT_BYTES": str(lines)}
        wall, processor, read = time.monotonic(), processor_seconds(), bytes_read()
        result = run_module(checkout, RETRAIN, counted)
        wall, processor = time.monotonic() - wall, processor_seconds() - processor
        imported = sum(map(int, lines.read_text().split()))
        return CostRow(
            version=version,
            commit=commit_of(checkout),
            wall_seconds=round(wall, 1),
            processor_seconds=round(processor, 1),
            megabytes_imported=round(imported / 1e6, 1),
            megabytes_read=round((bytes_read() - read - imported) / 1e6, 1),
            result=result.replace(workspace, "WORKSPACE"),
        )


def run_module(checkout: Path, arguments: tuple[str, ...], variables: Mapping[str, str]) -> str:
    """Run a module of a checkout; return the last line that it prints.

    Raises
    ------
    SystemExit
        If it fails; the message includes its output.
    """
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{checkout}: {' '.join(arguments)} failed\n{done.stdout}\n{done.stderr}")
    return next((line for line in reversed(done.stdout.splitlines()) if line.strip()), "")


def processor_seconds() -> float:
    """Return the processor time of all child processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bytes_read() -> int:
    """Return the bytes that this process and its ended children have read by system calls (Linux: `rchar`)."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line.removeprefix("rchar:") for line in lines if line.startswith("rchar:")))


def commit_of(checkout: Path) -> str:
    """Return the short name of the commit that is checked out."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def checked_out(commit: str) -> Iterator[Path]:
    """Check out a commit of this repository into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder, "before")
        worktree = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*worktree, "add", "--quiet", "--detach", str(checkout), commit], check=True)
        try:
            yield checkout
        finally:
            subprocess.run([*worktree, "remove", "--force", str(checkout)], check=True)


def write_photographs(folder: Path) -> Path:
    """Write sample photographs under rain, each as a separate source group; return their folder."""
    for number, name in enumerate(PHOTOGRAPHS):
        scene = folder / f"scene{number}"
        scene.mkdir(parents=True)
        Pillow.fromarray(rain_on(middle(photograph(name), SIDE), number)).save(scene / "1.png")
    return folder


def write_scenes(folder: str) -> str:
    """Write a validation set of few scenes and return the path of its manifest.

    The earlier commit plants probes in every pair, which takes too long with the default set.
    """
    write_validation(open_location(folder), ((name, photograph(name)) for name in SAMPLES))
    return f"{folder}/{MANIFEST}"


def main() -> None:
    """Measure both versions in turn; write the table after each retraining."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning.retraining_cost", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--before", default="315478d", help="commit to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="retrainings per version")
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rows: list[CostRow] = []
    with tempfile.TemporaryDirectory() as folder, checked_out(arguments.before) as before:
        for package in PACKAGES:
            compileall.compile_dir(before / package, quiet=1)
        photographs = write_photographs(Path(folder, "photographs"))
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DERAIN_")},
            "DERAIN_DEVICE": "cpu",
            "DERAIN_WORKERS": "1",
            "DERAIN_VALIDATION": write_scenes(f"{folder}/validation"),
        }
        versions = [("before", before), ("after", ROOT)]
        for number in range(arguments.rounds):
            for version, checkout in reversed(versions) if number % 2 else versions:
                rows.append(measure(version, checkout, photographs, environment))
                print(rows[-1], flush=True)
                write_table(rows, arguments.results)


if __name__ == "__main__":
    main()

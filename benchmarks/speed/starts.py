"""Measure how long commands take that have little to do, compared with importing PyTorch.

    python -m benchmarks.speed.starts

Each case runs in a separate process, in turn with `python -c "import torch"`: with the console command `derain`,
and with `python -m flows.derain_batch` on a running Prefect server, whose start is a separate row. Ratios are taken
between neighbouring processes, so that other load on the machine affects both. Writes `results/starts.csv`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks.common.free_port import free_port
from benchmarks.common.tables import write_table
from infra.catalog.derained import Catalog
from infra.prefect.temporary_server import command as server_command
from infra.records import DerainRecord, ImageRef
from infra.storage.location import open_location
from models.shipped import shipped_networks
from tasks.codec.exports import Export
from tasks.media.samples import SAMPLES, photograph, rain_on

RESULTS = Path(__file__).parent.parent / "results" / "starts.csv"
ROWS = 3_000
FOLDERS = {"one": 1, "five": 5, "fifteen": 15}
BASELINE = (sys.executable, "-c", "import torch")
CONSOLE = (sys.executable, "-m", "flows.console")
FLOW = (sys.executable, "-m", "flows.derain_batch")
START_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Start:
    """One case: median wall and CPU seconds, and the medians of their ratios to importing PyTorch."""

    case: str
    by: str
    """`derain`, `flows.derain_batch`, or Prefect's server."""
    wall_seconds: float
    cpu_seconds: float
    wall_ratio: float
    cpu_ratio: float
    repeats: int


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall and CPU seconds of one process."""

    wall: float
    cpu: float


def main() -> None:
    """Measure all cases and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=3, help="measurements per case; default: 3")
    repeats = parser.parse_args().repeats
    rows: list[Start] = []
    with tempfile.TemporaryDirectory() as folder, _environment(Path(folder)) as home:
        rainy_folders(home, FOLDERS)
        done_before(home, ROWS)
        with prefect_server(home) as (url, started):
            rows.append(_row("start", "Prefect's server", [started], [cost(BASELINE, home)]))
            os.environ["PREFECT_API_URL"] = url
            cost((*FLOW, "--source", "done", "--destination", "done-out"), home)  # registers the champion
            for case, by, words in cases():
                rows.append(measure(case, by, words, repeats, home))
                write_table(rows, RESULTS)
    print(RESULTS)


def cases() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield name, way and command of every case; `{n}` stands for the number of the repeat."""
    places = {
        "refusal": ("no-such-folder", "out"),
        f"nothing to do, {ROWS:,} rows": ("done", "done-out"),
        "one photograph": ("one", "one-{by}-{n}"),
        "five photographs": ("five", "five-{by}-{n}"),
        "fifteen photographs": ("fifteen", "fifteen-{by}-{n}"),
    }
    for case, (source, destination) in places.items():
        here, there = (destination.replace("{by}", by) for by in ("console", "flow"))
        file = case == "one photograph"
        yield case, "derain", (*CONSOLE, *(("one/0.png", here + ".png") if file else (source, here)))
        yield case, "flows.derain_batch", (*FLOW, "--source", source, "--destination", there)


def measure(case: str, by: str, command: Sequence[str], repeats: int, home: Path) -> Start:
    """Run a case in turn with the baseline, and return its row."""
    costs, baselines = [], []
    for number in range(repeats):
        baselines.append(cost(BASELINE, home))
        costs.append(cost([word.replace("{n}", str(number)) for word in command], home))
    return _row(case, by, costs, baselines)


def _row(case: str, by: str, costs: Sequence[Cost], baselines: Sequence[Cost]) -> Start:
    pairs = list(zip(costs, baselines, strict=True))
    row = Start(
        case,
        by,
        round(statistics.median(each.wall for each in costs), 2),
        round(statistics.median(each.cpu for each in costs), 2),
        round(statistics.median(own.wall / base.wall for own, base in pairs), 2),
        round(statistics.median(own.cpu / base.cpu for own, base in pairs), 2),
        len(costs),
    )
    print(row)
    return row


def cost(command: Sequence[str], home: Path) -> Cost:
    """Run a command to its end and return its cost; any exit code is accepted."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime)


@contextmanager
def prefect_server(home: Path) -> Iterator[tuple[str, Cost]]:
    """Run the server that a flow without `PREFECT_API_URL` starts; yield its URL and the cost of its start."""
    port = free_port()
    url, started = f"http://127.0.0.1:{port}/api", time.perf_counter()
    with (
        (home / "server.log").open("wb") as log,
        subprocess.Popen(
            server_command(port), cwd=home, stdin=subprocess.PIPE, stdout=log, stderr=log
        ) as server,
    ):
        try:
            _wait(url, server)
            used = psutil.Process(server.pid).cpu_times()
            yield url, Cost(time.perf_counter() - started, used.user + used.system)
        finally:
            server.terminate()


def _wait(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < until:
        try:
            if httpx.get(f"{url}/health", timeout=5).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise TimeoutError(f"{url}: no Prefect server has started")


def rainy_folders(home: Path, sizes: dict[str, int]) -> None:
    """Write sample photographs into folders, repeated under other rain if there are not enough."""
    for name, number in sizes.items():
        (home / name).mkdir()
        for index in range(number):
            rainy = rain_on(photograph(SAMPLES[index % len(SAMPLES)]), index)
            Image.fromarray(rainy).save(home / name / f"{index}.png")


def done_before(home: Path, number: int) -> None:
    """Write small images with their outputs and rows, like those of an earlier run."""
    pixels = np.random.default_rng(0).integers(0, 256, (number, 8, 8, 3), dtype=np.uint8)
    for folder in ("done", "done-out"):
        (home / folder).mkdir()
        for index, picture in enumerate(pixels):
            Image.fromarray(picture).save(home / folder / f"{index:05}.png")
    outputs = {ref.key: ref for ref in open_location(str(home / "done-out")).list()}
    records = [_record(home, ref, outputs[ref.key]) for ref in open_location(str(home / "done")).list()]
    Catalog(str(home / "var")).commit(records, replace=False)


def _record(home: Path, ref: ImageRef, output: ImageRef) -> DerainRecord:
    return DerainRecord(
        source=str(home / "done"),
        key=ref.key,
        etag=ref.etag,
        destination=str(home / "done-out"),
        export=Export().label,
        size_bytes=ref.size_bytes,
        height=8,
        width=8,
        status="derained",
        reason=None,
        output_key=ref.key,
        output_sha256=None,
        model_name="derain-student",
        model_version="1",
        model_digest=shipped_networks()[0].read().digest,
        run_id="earlier",
        rain_energy=0.01,
        brightness=0.5,
        contrast=0.2,
        sharpness=0.1,
        derained_at=datetime.now(UTC),
        output_size=output.size_bytes,
        output_etag=output.etag,
    )


@contextmanager
def _environment(home: Path) -> Iterator[Path]:
    """Make child processes keep all files below a folder, and ignore the settings of this user."""
    before = dict(os.environ)
    for name in [name for name in before if name.startswith(("DERAIN_", "PREFECT_"))]:
        del os.environ[name]
    os.environ.update(PYTHONPATH=str(Path(__file__).parents[2]), PREFECT_HOME=str(home / "prefect"))
    try:
        yield home.resolve()
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    main()

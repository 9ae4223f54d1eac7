"""How long the command `derain` takes where there is little to do, compared with importing PyTorch.

python -m benchmarks.speed.starts

Each case is a process of its own, run in turn with `python -c "import torch"`. Ratios are those of neighbours:
a machine that is busy with other things counts for both. Writes `results/starts.csv`.
"""

from __future__ import annotations

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

import numpy as np
from PIL import Image

from benchmarks.common.tables import write_table
from infra.catalog.derained import Catalog
from infra.records import DerainRecord, ImageRef
from infra.storage.location import open_location
from models.shipped import shipped_networks
from tasks.codec.exports import Export
from tasks.media.samples import SAMPLES, photograph, rain_on

RESULTS = Path(__file__).parent.parent / "results" / "starts.csv"
REPEATS = 3
ROWS = 3_000
BASELINE = (sys.executable, "-c", "import torch")
DERAIN = (sys.executable, "-m", "flows.console")


@dataclass(frozen=True, slots=True)
class Start:
    """One case: seconds of wall and of CPU, medians, and the median of their ratios to importing PyTorch."""

    case: str
    wall_seconds: float
    cpu_seconds: float
    wall_ratio: float
    cpu_ratio: float
    repeats: int


@dataclass(frozen=True, slots=True)
class Cost:
    """What one process took."""

    wall: float
    cpu: float


def main() -> None:
    """Measure all cases and write the table."""
    with tempfile.TemporaryDirectory() as folder, _workspace(Path(folder)) as home:
        rainy_folders(home, {"one": 1, "five": 5, "fifteen": 15})
        done_before(home, ROWS)
        cases = {
            "refusal": ["no-such-folder", "out"],
            f"nothing to do, {ROWS:,} rows": ["done", "done-out"],
            "one photograph": ["one/0.png", "one.png", "--overwrite"],
            "five photographs": ["five", "five-out-{n}"],
            "fifteen photographs": ["fifteen", "fifteen-out-{n}"],
        }
        rows: list[Start] = []
        for case, words in cases.items():
            rows.append(measure(case, words, home))
            write_table(rows, RESULTS)
    print(RESULTS)


def measure(case: str, words: Sequence[str], home: Path) -> Start:
    """Run a case in turn with the baseline."""
    costs, baselines = [], []
    for number in range(REPEATS):
        baselines.append(cost(BASELINE, home))
        costs.append(cost((*DERAIN, *(word.format(n=number) for word in words)), home))
    pairs = list(zip(costs, baselines, strict=True))
    row = Start(
        case,
        round(statistics.median(each.wall for each in costs), 2),
        round(statistics.median(each.cpu for each in costs), 2),
        round(statistics.median(ours.wall / base.wall for ours, base in pairs), 2),
        round(statistics.median(ours.cpu / base.cpu for ours, base in pairs), 2),
        REPEATS,
    )
    print(row)
    return row


def cost(command: Sequence[str], home: Path) -> Cost:
    """Run a command to its end; a refusal's exit code is fine."""
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, used = os.wait4(process.pid, 0)
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime)


def rainy_folders(home: Path, sizes: dict[str, int]) -> None:
    """Write sample photographs into folders, again under other rain where there are not enough."""
    for name, number in sizes.items():
        (home / name).mkdir()
        for index in range(number):
            rainy = rain_on(photograph(SAMPLES[index % len(SAMPLES)]), index)
            Image.fromarray(rainy).save(home / name / f"{index}.png")


def done_before(home: Path, number: int) -> None:
    """Write small images with their outputs and rows, as an earlier run would have left them."""
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
def _workspace(home: Path) -> Iterator[Path]:
    """Let processes of ours keep everything below a folder."""
    kept = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("DERAIN_")}
    paths = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])
    try:
        yield home.resolve()
    finally:
        os.environ.update(kept)
        if paths is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = paths


if __name__ == "__main__":
    main()

"""Compare whole jobs with alternatives that a user could run: `python -m benchmarks.peers`.

All contenders use the same network, weights, images (640x480) and cores, in interleaved repeats; seconds are from
the command to its exit. Ratios of images per second are taken within a repeat; the table has their medians. Writes
`results/peers.csv`, in which rows of other sizes and of other devices stay.

The peers are `benchmarks.peers.pool`, `ray_data` (only with `--ray PEERS/bin/python`, see requirements.txt) and
`one_at_a_time`, which derains at most `--loop-images` images: its loop is extrapolated to the size of the job, as
the column `measured_images` shows.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from benchmarks.common.device import device_name
from benchmarks.common.frames import write_frames
from benchmarks.common.tables import rows_of, write_table
from models.modelfile import STUDENT_BASE

RESULTS = Path(__file__).parents[1] / "results" / "peers.csv"
ROOT = Path(__file__).parents[2]
OURS, WITH_PREFECT, POOL, RAY, LOOP = (
    "derain",
    "derain-batch (Prefect)",
    "multiprocessing, bf16",
    "Ray Data, bf16",
    "one at a time, fp32",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One contender on a job of one size."""

    contender: str
    images: int
    measured_images: int
    seconds: float
    """Median time of the whole job."""
    images_per_second: float
    derain_ratio: float
    """Images per second of `derain` over those of this contender."""
    derain_batch_ratio: float
    """Images per second of `derain-batch` over those of this contender."""
    repeats: int
    device: str


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one job; the destination does not exist at first."""

    source: Path
    home: Path

    @property
    def destination(self) -> Path:
        """Folder of the outputs."""
        return self.home / "out"


Contender = Callable[[Place], float]
"""Runs a job and returns its seconds."""


def main() -> None:
    """Measure all sizes and write the table."""
    arguments = _parse()
    contenders = contenders_of(arguments.ray, arguments.loop_images)
    rows: list[Row] = []
    sizes, device = {str(images) for images in arguments.images}, device_name(torch.device("cpu"))
    known = rows_of(arguments.out, Row)
    kept = [row for row in known if row["images"] not in sizes or row["device"] != device]
    with tempfile.TemporaryDirectory(prefix="derain-benchmark-") as folder:
        for images in arguments.images:
            source = Path(folder, f"source-{images}")
            write_frames(source, images, arguments.data)
            seconds = measure(contenders, source, arguments.repeats)
            rows += rows_from(seconds, images, arguments.loop_images)
            write_table(rows, arguments.out, kept=kept)
    for row in rows:
        print(f"{row.contender:<24} {row.images:>5} images {row.seconds:>8} s  derain {row.derain_ratio}x")


def contenders_of(ray: Path | None, loop_images: int) -> dict[str, Contender]:
    """Return the contenders by name; Ray Data only with a Python that can import it."""
    contenders: dict[str, Contender] = {
        OURS: lambda place: run(["-m", "flows.console", *_options(place, "", "")], place),
        WITH_PREFECT: lambda place: run(
            ["-m", "flows.derain_batch", *_options(place, "--source", "--destination")], place
        ),
        POOL: lambda place: run(_peer("pool", place), place),
        LOOP: lambda place: loop(place, loop_images),
    }
    if ray is not None and has_ray(ray):
        contenders[RAY] = lambda place: run(_peer("ray_data", place), place, ray)
    else:
        print(
            "Ray Data is left out: give --ray a Python that can import it (benchmarks/peers/requirements.txt)"
        )
    return contenders


def has_ray(python: Path) -> bool:
    """Return whether an interpreter can import Ray Data."""
    try:
        return (
            subprocess.run([python, "-c", "import ray.data"], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


def measure(contenders: Mapping[str, Contender], source: Path, repeats: int) -> dict[str, list[float]]:
    """Return the seconds of each contender in each interleaved repeat."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for repeat in range(repeats):
        for name, contender in contenders.items():
            with tempfile.TemporaryDirectory(dir=source.parent) as home:
                seconds[name].append(contender(Place(source, Path(home))))
            print(f"repeat {repeat + 1}: {name}: {seconds[name][-1]:.1f} s", flush=True)
    return seconds


def run(arguments: Sequence[str], place: Place, python: Path | None = None) -> float:
    """Run a job in a separate process; return its seconds, or end the program if an output is missing."""
    began = time.perf_counter()
    _output_of(arguments, place, python)
    seconds = time.perf_counter() - began
    outputs, images = len(list(place.destination.iterdir())), len(list(place.source.iterdir()))
    if outputs != images:
        raise SystemExit(f"{' '.join(arguments)}: {outputs} outputs of {images} images")
    return seconds


def loop(place: Place, most: int) -> float:
    """Run the loop on at most `most` images; return the seconds that it would take for all."""
    paths = sorted(place.source.iterdir())
    some = place.home / "source"
    some.mkdir()
    for path in paths[:most]:
        shutil.copy(path, some)
    part = Place(some, place.home)
    began = time.perf_counter()
    printed = _output_of(_peer("one_at_a_time", part), part)
    return extrapolated(time.perf_counter() - began, float(printed), len(paths) / min(most, len(paths)))


def extrapolated(whole: float, inside: float, times: float) -> float:
    """Return the seconds of a job whose loop takes `times` as long, with the same start."""
    return whole - inside + inside * times


def rows_from(seconds: Mapping[str, Sequence[float]], images: int, loop_images: int) -> list[Row]:
    """Build the rows of one size from the seconds of each contender."""
    device = device_name(torch.device("cpu"))
    return [
        Row(
            name,
            images,
            min(images, loop_images) if name == LOOP else images,
            round(median(times), 1),
            round(images / median(times), 2),
            _ratio(times, seconds[OURS]),
            _ratio(times, seconds[WITH_PREFECT]),
            len(times),
            device,
        )
        for name, times in seconds.items()
    ]


def _ratio(contender: Sequence[float], reference: Sequence[float]) -> float:
    return round(median(each / other for each, other in zip(contender, reference, strict=True)), 3)


def _options(place: Place, source: str, destination: str) -> list[str]:
    words = [source, str(place.source), destination, str(place.destination), "--model", str(STUDENT_BASE)]
    return [word for word in words if word]


def _peer(name: str, place: Place) -> list[str]:
    return ["-m", f"benchmarks.peers.{name}", str(STUDENT_BASE), str(place.source), str(place.destination)]


def _output_of(arguments: Sequence[str], place: Place, python: Path | None = None) -> str:
    paths = {"DERAIN_WORKSPACE": str(place.home / "workspace"), "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [str(python or sys.executable), *arguments],
        env={**os.environ, **paths},
        cwd=place.home,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {ended.returncode}:\n{ended.stderr[-2000:]}")
    return ended.stdout


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--images", type=int, nargs="+", default=[20, 600, 2000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loop-images", type=int, default=100)
    parser.add_argument("--ray", type=Path, help="Python of an environment with Ray Data")
    parser.add_argument("--data", type=Path, help="folder of photographs; default: generated ones")
    parser.add_argument("--out", type=Path, default=RESULTS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

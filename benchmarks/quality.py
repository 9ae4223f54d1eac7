"""How well the shipped student derains, through the real flow: PSNR and SSIM on paired benchmarks.

    python -m benchmarks.quality --data DATA

`DATA` holds `paired/rain100l/{rain,clean}` and `paired/rain100h/{rain,clean}`. Writes `results/quality.csv`. These
are test sets: they are reported, nothing is selected by them.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from PIL import Image

from flows.derain_batch import derain_batch
from models.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from models.modelfile import SHIPPED, read_model_file

RESULTS = Path(__file__).parent / "results" / "quality.csv"
CEILING = 60.0
"""The PSNR of an image that comes back untouched is infinite; means count it as this."""


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of one image against its clean version."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: means over a set, and the spread of psnr_y."""

    set: str
    model: str
    model_digest: str
    n: int
    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float
    psnr_y_p10: float
    psnr_y_min: float


def main() -> None:
    """Measure every set, print the table and write it."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with paired/rain100l and paired/rain100h"
    )
    parser.add_argument(
        "--model", type=Path, default=SHIPPED, help="weights file; default: the shipped student"
    )
    arguments = parser.parse_args()
    rows = list(_measure(arguments.data / "paired", arguments.model))
    for row in rows:
        print(
            f"{row.set:24} {row.model:14} n={row.n:3}  psnr_y {row.psnr_y:6.3f}  ssim_y {row.ssim_y:.4f}"
            f"  psnr_rgb {row.psnr_rgb:6.3f}  p10 {row.psnr_y_p10:6.2f}  min {row.psnr_y_min:6.2f}"
        )
    _write(rows)


def _measure(paired: Path, model: Path) -> Iterator[Row]:
    digest = read_model_file(model).digest[:12]
    for name in ("rain100l", "rain100h"):
        rain, clean = paired / name / "rain", paired / name / "clean"
        yield _row(name, "untouched input", "", list(scores(rain, clean)))
        yield _row(name, model.stem, digest, list(_through_the_flow(rain, clean, model)))
    clean = paired / "rain100l" / "clean"
    yield _row("rain100l clean photos", model.stem, digest, list(_through_the_flow(clean, clean, model)))


def _through_the_flow(source: Path, clean: Path, model: Path) -> Iterator[Score]:
    """Derain a folder to PNG with the flow, in a workspace of its own, and score what comes out."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DERAIN_WORKSPACE"] = f"{folder}/workspace"
        state = derain_batch(
            source=str(source), destination=f"{folder}/out", model=str(model), export="png", return_state=True
        )
        if not state.is_completed():
            raise SystemExit(state.message)
        yield from scores(Path(folder, "out"), clean)


def scores(derained: Path, clean: Path) -> Iterator[Score]:
    """Score every image of a folder against the one of the same name (less a `.png` appended) in another."""
    for path in sorted(derained.iterdir()):
        name = path.name if (clean / path.name).exists() else path.stem
        ours, theirs = _read(path), _read(clean / name)
        yield Score(
            psnr_y(ours, theirs), ssim_y(ours, theirs), psnr_rgb(ours, theirs), ssim_rgb(ours, theirs)
        )


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        pixels: np.ndarray = np.asarray(image.convert("RGB"))
    return pixels


def _row(name: str, model: str, digest: str, measured: list[Score]) -> Row:
    ys = [min(score.psnr_y, CEILING) for score in measured]
    return Row(
        name,
        model,
        digest,
        len(measured),
        round(fmean(ys), 3),
        round(fmean(score.ssim_y for score in measured), 4),
        round(fmean(min(score.psnr_rgb, CEILING) for score in measured), 3),
        round(fmean(score.ssim_rgb for score in measured), 4),
        round(float(np.percentile(ys, 10)), 2),
        round(min(ys), 2),
    )


def _write(rows: list[Row]) -> None:
    RESULTS.parent.mkdir(exist_ok=True)
    with RESULTS.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


if __name__ == "__main__":
    main()

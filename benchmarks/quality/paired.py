"""Paired sets: derained photographs against their clean versions, in PSNR and SSIM."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from tqdm import tqdm

from benchmarks.common.networks import Network
from benchmarks.common.photographs import images_in, read
from flows.derain_batch import derain_batch
from models.evaluation.metrics import psnr_rgb, psnr_y, ssim_rgb, ssim_y
from models.evaluation.validation import CLEAN_CEILING
from models.images import RgbImage
from tasks.codec.exports import Export
from tasks.codec.keys import output_key

UNTOUCHED = "untouched input"
PNG = Export("png")


@dataclass(frozen=True, slots=True)
class PairedSet:
    """Rainy photographs and their clean versions, by the same names in two folders."""

    name: str
    rainy: Path
    clean: Path

    def pairs(self, limit: int | None) -> list[tuple[Path, Path]]:
        """List rainy and clean paths, at most so many."""
        return [(path, self.clean / path.name) for path in images_in(self.rainy)[:limit]]


@dataclass(frozen=True, slots=True)
class Score:
    """Metrics of one image against its clean version."""

    psnr_y: float
    ssim_y: float
    psnr_rgb: float
    ssim_rgb: float


@dataclass(frozen=True, slots=True)
class PairedRow:
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

    def __str__(self) -> str:
        return (
            f"{self.set:16} {self.model:16} n={self.n:3}  psnr_y {self.psnr_y:6.3f}  ssim_y {self.ssim_y:.4f}"
            f"  psnr_rgb {self.psnr_rgb:6.3f}  ssim_rgb {self.ssim_rgb:.4f}"
            f"  p10 {self.psnr_y_p10:5.2f}  min {self.psnr_y_min:5.2f}"
        )


def paired_sets(data: Path) -> dict[str, PairedSet]:
    """Name the paired sets below a data folder; `clean` asks for clean photographs back as they are."""
    light, heavy = data / "paired" / "rain100l", data / "paired" / "rain100h"
    sets = (
        PairedSet("rain100l", light / "rain", light / "clean"),
        PairedSet("rain100h", heavy / "rain", heavy / "clean"),
        PairedSet("clean", light / "clean", light / "clean"),
    )
    return {each.name: each for each in sets}


def untouched(of: PairedSet, limit: int | None = None) -> PairedRow:
    """Score the rainy photographs themselves."""
    pairs = tqdm(of.pairs(limit), desc=f"{of.name}, untouched", unit="photo")
    return _row(of.name, UNTOUCHED, "", [score(read(rainy), read(clean)) for rainy, clean in pairs])


def derained(network: Network, of: PairedSet, limit: int | None = None) -> PairedRow:
    """Score a network: the shipped student through derain-batch, others straight from their engine."""
    pairs = of.pairs(limit)
    photographs = _through_the_flow(network, of, limit) if network.is_shipped else _straight(network, pairs)
    bar = tqdm(
        zip(photographs, pairs, strict=True),
        desc=f"{of.name}, {network.name}",
        total=len(pairs),
        unit="photo",
    )
    return _row(of.name, network.name, network.digest, [score(ours, read(clean)) for ours, (_, clean) in bar])


def score(ours: RgbImage, clean: RgbImage) -> Score:
    """Score one photograph against its clean version."""
    return Score(psnr_y(ours, clean), ssim_y(ours, clean), psnr_rgb(ours, clean), ssim_rgb(ours, clean))


def _straight(network: Network, pairs: Iterable[tuple[Path, Path]]) -> Iterator[RgbImage]:
    return (network.derain(read(rainy)) for rainy, _ in pairs)


def _through_the_flow(network: Network, of: PairedSet, limit: int | None) -> Iterator[RgbImage]:
    """Derain a folder to PNG with the flow, in a workspace of its own; yield what comes out, by name."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DERAIN_WORKSPACE"] = f"{folder}/workspace"
        state = derain_batch(
            source=str(of.rainy),
            destination=f"{folder}/out",
            model=str(network.path),
            export=PNG.kind,
            limit=limit,
            return_state=True,
        )
        if not state.is_completed():
            raise SystemExit(state.message)
        for rainy, _ in of.pairs(limit):
            yield read(Path(folder, "out", output_key(rainy.name, PNG)))


def _row(name: str, model: str, digest: str, measured: list[Score]) -> PairedRow:
    ys = [min(each.psnr_y, CLEAN_CEILING) for each in measured]
    return PairedRow(
        name,
        model,
        digest,
        len(measured),
        round(fmean(ys), 3),
        round(fmean(each.ssim_y for each in measured), 4),
        round(fmean(min(each.psnr_rgb, CLEAN_CEILING) for each in measured), 3),
        round(fmean(each.ssim_rgb for each in measured), 4),
        round(float(np.percentile(ys, 10)), 2),
        round(min(ys), 2),
    )

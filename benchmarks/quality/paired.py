"""Scores on paired sets: PSNR and SSIM of derained photographs against their clean versions."""

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
    """Rainy photographs and their clean versions, under the same names in two folders."""

    name: str
    rainy: Path
    clean: Path

    def pairs(self, limit: int | None) -> list[tuple[Path, Path]]:
        """List the paths of rainy and clean photographs, at most `limit` pairs."""
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
    """Return the paired sets below a data folder by name; `clean` pairs clean photographs with themselves."""
    light, heavy = data / "paired" / "rain100l", data / "paired" / "rain100h"
    sets = (
        PairedSet("rain100l", light / "rain", light / "clean"),
        PairedSet("rain100h", heavy / "rain", heavy / "clean"),
        PairedSet("clean", light / "clean", light / "clean"),
    )
    return {each.name: each for each in sets}


def score_input(paired: PairedSet, limit: int | None = None) -> PairedRow:
    """Score the rainy photographs themselves."""
    pairs = tqdm(paired.pairs(limit), desc=f"{paired.name}, untouched", unit="photo")
    return _row(paired.name, UNTOUCHED, "", [score(read(rainy), read(clean)) for rainy, clean in pairs])


def score_network(network: Network, paired: PairedSet, limit: int | None = None) -> PairedRow:
    """Score a network: the default student through derain-batch, others directly with their engine."""
    pairs = paired.pairs(limit)
    photographs = _by_flow(network, paired, limit) if network.is_shipped else _by_engine(network, pairs)
    bar = tqdm(
        zip(photographs, pairs, strict=True),
        desc=f"{paired.name}, {network.name}",
        total=len(pairs),
        unit="photo",
    )
    scores = [score(derained, read(clean)) for derained, (_, clean) in bar]
    return _row(paired.name, network.name, network.digest, scores)


def score(derained: RgbImage, clean: RgbImage) -> Score:
    """Score one photograph against its clean version."""
    return Score(
        psnr_y(derained, clean),
        ssim_y(derained, clean),
        psnr_rgb(derained, clean),
        ssim_rgb(derained, clean),
    )


def _by_engine(network: Network, pairs: Iterable[tuple[Path, Path]]) -> Iterator[RgbImage]:
    return (network.derain(read(rainy)) for rainy, _ in pairs)


def _by_flow(network: Network, paired: PairedSet, limit: int | None) -> Iterator[RgbImage]:
    """Derain a folder to PNG with the flow, in a temporary workspace; yield the outputs in order of name."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DERAIN_WORKSPACE"] = f"{folder}/workspace"
        state = derain_batch(
            source=str(paired.rainy),
            destination=f"{folder}/out",
            model=str(network.path),
            export=PNG.kind,
            limit=limit,
            return_state=True,
        )
        if not state.is_completed():
            raise SystemExit(state.message)
        for rainy, _ in paired.pairs(limit):
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

"""Scores on real rainy photographs without clean versions: planted probes, and NIQE before and after.

NIQE is reported but decides nothing: rain looks natural to it. A network needs both rain recall *and* detail kept;
the identity and two smoothers are measured for comparison.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from torch import Tensor
from tqdm import tqdm

from benchmarks.common.networks import Network
from benchmarks.common.photographs import images_in, middle, read
from benchmarks.quality.smoothers import box_blur, gaussian_blur
from models.evaluation.niqe import niqe, read_pristine
from models.evaluation.probe_layers import DETAIL_FAMILIES, RAIN_FAMILIES
from models.evaluation.probes import probe_families, score
from models.images import RgbImage, to_floats, to_rgb

SIDE = 512
"""Largest height and width of the middle of each photograph, which is measured."""


@dataclass(frozen=True, slots=True)
class Derainer:
    """A named function that derains (B, 3, H, W) floats in [0, 1]."""

    name: str
    digest: str
    derain: Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class RealRow:
    """One line of the table: means over the photographs, and the weakest tenth of the probes."""

    set: str
    model: str
    model_digest: str
    n: int
    rain_recall: float
    detail_kept: float
    informedness: float
    rain_recall_p10: float
    detail_kept_p10: float
    beaded: float
    bent: float
    comet: float
    wires: float
    text: float
    grass: float
    grating: float
    niqe_before: float
    niqe_after: float

    def __str__(self) -> str:
        families = "  ".join(
            f"{name} {getattr(self, name):.2f}" for name in (*RAIN_FAMILIES, *DETAIL_FAMILIES)
        )
        return (
            f"{self.set:16} {self.model:16} n={self.n:3}  rain recall {self.rain_recall:.3f}"
            f"  detail kept {self.detail_kept:.3f}  informedness {self.informedness:+.3f}"
            f"  NIQE {self.niqe_before:.2f} to {self.niqe_after:.2f}  ({families})"
        )


def references() -> list[Derainer]:
    """Return the derainers that any network must beat: the identity, a 3x3 mean and a heavy gaussian blur."""
    return [
        Derainer("untouched input", "", lambda rainy: rainy),
        Derainer("3x3 blur", "", box_blur),
        Derainer("gaussian blur", "", gaussian_blur),
    ]


def of_network(network: Network) -> Derainer:
    """Return the derainer of a network, whose outputs are rounded to 8 bits."""
    return Derainer(network.name, network.digest, network.derain_floats)


def measure_probes(derainer: Derainer, folder: Path, limit: int | None = None, turn: int = 0) -> RealRow:
    """Measure a derainer on at most `limit` photographs of a folder; see `models.evaluation.probes` for `turn`."""
    bar = tqdm(images_in(folder)[:limit], desc=f"{folder.name}, {derainer.name}", unit="photo")
    return _row(folder.name, derainer, [_measure(derainer, path, turn) for path in bar])


@dataclass(frozen=True, slots=True)
class _Measured:
    families: dict[str, float]
    niqe_before: float
    niqe_after: float


def probed(derainer: Derainer, pixels: RgbImage, turn: int = 0) -> dict[str, float]:
    """Plant probes in a photograph, (H, W, 3) uint8; return the response of the derainer by family of probes."""
    return probe_families(derainer.derain, to_floats(pixels), _seed(pixels), turn)


def _measure(derainer: Derainer, path: Path, turn: int) -> _Measured:
    pixels, pristine = middle(read(path), SIDE), read_pristine()
    photograph = to_floats(pixels)
    try:
        return _Measured(
            probed(derainer, pixels, turn),
            niqe(pixels, pristine),
            niqe(to_rgb(derainer.derain(photograph[None])[0]), pristine),
        )
    except ValueError as error:
        raise SystemExit(f"{path}: {error}") from error


def _seed(pixels: RgbImage) -> int:
    """Derive the seed of the probes from the pixels alone, not from the name or the other photographs."""
    return int.from_bytes(hashlib.sha256(pixels.tobytes()).digest()[:4], "big")


def _row(name: str, derainer: Derainer, measured: list[_Measured]) -> RealRow:
    scores = [score(each.families) for each in measured]
    recalls, kept = [one.rain_recall for one in scores], [one.detail_kept for one in scores]
    families = {family: _mean(each.families[family] for each in measured) for family in measured[0].families}
    return RealRow(
        set=name,
        model=derainer.name,
        model_digest=derainer.digest,
        n=len(measured),
        rain_recall=_mean(recalls),
        detail_kept=_mean(kept),
        informedness=_mean(one.informedness for one in scores),
        rain_recall_p10=round(float(np.percentile(recalls, 10)), 4),
        detail_kept_p10=round(float(np.percentile(kept, 10)), 4),
        niqe_before=_mean(each.niqe_before for each in measured),
        niqe_after=_mean(each.niqe_after for each in measured),
        **families,
    )


def _mean(values: Iterable[float]) -> float:
    return round(fmean(values), 4) + 0.0  # not -0.0

"""The data of an evaluation (`Evaluation`): scores per photograph and network, and pictures of the worst ones."""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from models.images import RgbImage
from tasks.pages.pictures import shrunk
from tasks.promotion.validation_manifest import VALIDATION, ValidationManifest, ValidationPhotograph
from tasks.resolved_model import ResolvedModel

MOST_SHOWN = 12
"""Number of photographs shown, with four pictures each of at most 960 pixels per side."""
ONLY_REPORTED = ("psnr_rgb", "ssim_rgb", "niqe")
"""Figures that are only reported, whatever the photographs."""


@dataclass(frozen=True, slots=True)
class ImageScore:
    """The scores of a network on one photograph; None if a score does not apply.

    `psnr_y` and `psnr_rgb` are in dB, at most 60. `clean_change` is the mean change of the clean version in grey
    levels of Y. See `models.evaluation.probes` for `rain_recall` and `detail_kept`. `niqe` is that of derained real
    rain (`models.evaluation.niqe`); lower is more natural, and it is only reported.
    """

    psnr_y: float | None = None
    ssim_y: float | None = None
    psnr_rgb: float | None = None
    ssim_rgb: float | None = None
    clean_change: float | None = None
    rain_recall: float | None = None
    detail_kept: float | None = None
    niqe: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One photograph of the manifest and the scores of both networks."""

    key: str
    scene: str
    champion: ImageScore
    challenger: ImageScore
    set: str = VALIDATION


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Two networks on one manifest."""

    champion: ResolvedModel
    challenger: ResolvedModel
    manifest: ValidationManifest
    photographs: tuple[Compared, ...]
    latency_ratios: npt.NDArray[np.float64]
    """Latency ratio of each round; a single 1 for networks of equal sizes, which compute the same."""
    worst: tuple[Shown, ...] = ()
    """Photographs on which the challenger loses most, the worst first."""

    def differences(self, figure: str) -> tuple[npt.NDArray[np.float64], list[str]]:
        """Return challenger - champion, and the scene, of every deciding photograph with this figure."""
        rows = self._with(figure, VALIDATION)
        values = [getattr(each.challenger, figure) - getattr(each.champion, figure) for each in rows]
        return np.array(values, np.float64), [each.scene for each in rows]

    def scenes(self, figure: str) -> int:
        """Return the number of scenes of the deciding photographs with this figure."""
        return len({each.scene for each in self._with(figure, VALIDATION)})

    def mean(self, figure: str, side: str, chosen: str = VALIDATION) -> float:
        """Return the mean of a figure of `champion` or `challenger` over a set."""
        return float(np.mean([getattr(getattr(each, side), figure) for each in self._with(figure, chosen)]))

    def reported(self) -> dict[str, float]:
        """Return the means that are only reported, by name, `set/figure.side`."""
        sets = dict.fromkeys(each.set for each in self.photographs)
        chosen = [
            (each, figure) for each in sets for figure in ImageScore.__slots__ if self._with(figure, each)
        ]
        return {
            f"{each}/{figure}.{side}": self.mean(figure, side, each)
            for (each, figure), side in itertools.product(chosen, ("champion", "challenger"))
            if each != VALIDATION or figure in ONLY_REPORTED
        }

    def _with(self, figure: str, chosen: str) -> list[Compared]:
        """Return the photographs of a set that have a figure for both networks."""
        return [
            each
            for each in self.photographs
            if each.set == chosen
            and getattr(each.champion, figure) is not None
            and getattr(each.challenger, figure) is not None
        ]


@dataclass(frozen=True, slots=True)
class Shown:
    """One photograph and both derained versions, in the size of the page, and the clean version if there is one."""

    compared: Compared
    rainy: PillowImage.Image
    champion: PillowImage.Image
    challenger: PillowImage.Image
    clean: PillowImage.Image | None


@dataclass(slots=True)
class WorstPhotographs:
    """Keeps pictures of the photographs on which the challenger loses most during an evaluation."""

    shown: list[Shown] = field(default_factory=list)
    """The worst first, at most `MOST_SHOWN`."""

    def offer(
        self, compared: Compared, photograph: ValidationPhotograph, derained: Sequence[RgbImage]
    ) -> None:
        """Keep a photograph and its two derained versions, (H, W, 3) uint8, if it is among the worst so far."""
        if compared.set != VALIDATION:
            return
        if len(self.shown) == MOST_SHOWN and gain(compared) >= gain(self.shown[-1].compared):
            return
        champion, challenger = (shrunk(pixels) for pixels in derained)
        clean = None if photograph.clean is None else shrunk(photograph.clean)
        each = Shown(compared, shrunk(photograph.rainy), champion, challenger, clean)
        insort(self.shown, each, key=lambda shown: gain(shown.compared))
        del self.shown[MOST_SHOWN:]


def worst_first(photographs: Sequence[Compared]) -> list[Compared]:
    """Sort by the challenger's loss in dB of psnr_y, or in tenths of rain recall if there is no clean version."""
    return sorted(photographs, key=gain)


def gain(compared: Compared) -> float:
    """Return the challenger's gain on a photograph in dB of psnr_y, or in tenths of rain recall."""
    for figure, unit in (("psnr_y", 1.0), ("rain_recall", 10.0)):
        before, after = getattr(compared.champion, figure), getattr(compared.challenger, figure)
        if before is not None and after is not None:
            return unit * float(after - before)
    return 0.0

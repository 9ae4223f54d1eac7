"""What a fine-tuning sees of real rain: photographs, pseudo-labels, and the streaks that are in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from infra.pool import Pool
from infra.pseudo_labels import PseudoLabels
from infra.settings import Settings
from models.banks import Bank, bank_of
from models.engine import Engine, choose_device, fast_dtype
from models.lessons import MOST_PHOTOGRAPHS, evenly
from models.metrics import Image
from models.modelfile import ModelFile, build
from models.semi_data import RealRain, Targets
from models.streak_bank import StreakHarvest, harvest_streaks
from tasks.unlabelled import POOL, unlabelled_photographs, without_padding

SIDE = 512
"""Larger photographs are cut to their middle."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """Rainy photographs with targets, and how far each pixel is trusted, 0 to 255."""

    rainy: Sequence[Image]
    target: Sequence[Image]
    confidence: Sequence[Image]
    """(H, W) each."""

    def targets(self) -> Targets:
        """Put them into banks."""
        return Targets(
            _bank(self.rainy), _bank(self.target), _bank([part[..., None] for part in self.confidence])
        )


@dataclass(frozen=True, slots=True)
class Material:
    """Unlabelled photographs, and accepted pseudo-labels where there are any."""

    photographs: Sequence[Image]
    pseudo_labels: Labelled | None = None

    def real_rain(self, harvest: StreakHarvest) -> RealRain:
        """Put everything into banks.

        Raises
        ------
        StreakBankEmpty
            If no streaks were accepted.
        """
        training, judging = harvest.split()
        labels = self.pseudo_labels
        return RealRain(_bank(self.photographs), training, judging, labels.targets() if labels else None)


def material_at(settings: Settings, place: str) -> Material:
    """Fetch rainy photographs, cut to at most 512 pixels a side; of the pool its accepted pseudo-labels too.

    Parameters
    ----------
    settings : Settings
        Workspace of the pool; images of more than `max_pixels` are left out.
    place : str
        `pool`, or a folder or bucket prefix.

    Raises
    ------
    FileNotFoundError
        If there is none; names the place, and why the first one was left out.
    """
    photographs = [_middle(each) for each in unlabelled_photographs(settings, place)]
    return Material(photographs, _accepted(settings.workspace) if place == POOL else None)


def _accepted(workspace: str) -> Labelled | None:
    """Read the pseudo-labels that curation accepted; None where there is none."""
    pool, labels = Pool(workspace), PseudoLabels(workspace)
    accepted = labels.accepted()
    if accepted.is_empty():
        return None
    rows = accepted[evenly(range(accepted.height), MOST_PHOTOGRAPHS)]
    crops = rows.select("crop_id").join(pool.crops(), on="crop_id", how="left", maintain_order="left")
    pixels = labels.pixels(rows)
    rainy, target, confidence = (
        without_padding(list(part), crops)
        for part in (pool.pixels(crops), pixels.pseudo_label, pixels.confidence)
    )
    return Labelled(rainy, target, confidence)


def harvested(start: ModelFile, photographs: Sequence[Image], device: str) -> StreakHarvest:
    """Take streaks out of photographs with the network that the training starts from."""
    chosen = choose_device(device)
    engine = Engine(build(start), chosen, fast_dtype(chosen))
    return harvest_streaks(photographs, [engine.derain(each[None])[0] for each in photographs])


def _middle(rgb: Image) -> Image:
    top, left = (max(0, extent - SIDE) // 2 for extent in rgb.shape[:2])
    return np.ascontiguousarray(rgb[top : top + SIDE, left : left + SIDE])


def _bank(pictures: Sequence[Image]) -> Bank:
    return bank_of([torch.from_numpy(np.ascontiguousarray(picture)) for picture in pictures])

"""What a fine-tuning sees of real rain: photographs from a folder or bucket, and the streaks that are in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from infra.storage import open_location
from models.banks import Bank, bank_of
from models.engine import Engine, choose_device, fast_dtype
from models.metrics import Image
from models.modelfile import ModelFile, build
from models.semi_data import RealRain, Targets
from models.streak_bank import StreakHarvest, harvest_streaks
from tasks.images import ImageRejected, decode
from tasks.sources import Selection

MOST_PHOTOGRAPHS = 400
"""That are held in memory: spread evenly over the keys."""
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


def photographs_at(url: str, max_pixels: int) -> list[Image]:
    """Fetch rainy photographs, (H, W, 3) uint8 of at most 512 pixels a side.

    Parameters
    ----------
    url : str
        Folder or bucket prefix; what is no image is left out.
    max_pixels : int
        Larger ones are left out undecoded.

    Raises
    ------
    FileNotFoundError
        If there is none; names the place, and why the first one was left out.
    """
    location, is_image = open_location(url), Selection().predicate()
    keys = sorted(ref.key for ref in location.list() if is_image(ref.key))
    found: list[Image] = []
    reasons: list[str] = []
    for key in keys[:: -(-len(keys) // MOST_PHOTOGRAPHS) or 1]:
        try:
            found.append(_middle(decode(location.fetch(key), max_pixels).rgb))
        except ImageRejected as error:
            reasons.append(f"{key}: {error}")
    if not found:
        raise FileNotFoundError(
            f"{url}: no photographs of rain there" + "".join(f"; {each}" for each in reasons[:1])
        )
    return found


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

"""Layers of real rain from judged crops (`cut_streaks`), for synthetic rain."""

from __future__ import annotations

import numpy as np

from infra.catalog.pseudo_label_zarr import PseudoPixels
from infra.catalog.streak_bank import Layer
from models.images import RgbImage
from models.rain.streak_mining import StreakRules, harvest_streaks


def cut_streaks(rainy: RgbImage, pixels: PseudoPixels) -> tuple[list[Layer], dict[str, int]]:
    """Cut layers of rain from a crop, (128, 128) uint8 each, and count refused windows by reason.

    Parameters
    ----------
    rainy : ndarray
        The valid part, (H, W, 3) uint8.
    pixels : PseudoPixels
        The whole crop. Pixels with a confidence of 0 are ignored.
    """
    valid = (slice(0, rainy.shape[0]), slice(0, rainy.shape[1]))
    is_sure = pixels.confidence[valid][..., None] > 0
    harvest = harvest_streaks([rainy], [np.where(is_sure, pixels.pseudo_label[valid], rainy)])
    side = StreakRules().side
    return [layer for layer in harvest.layers if layer.shape == (side, side)], harvest.refused

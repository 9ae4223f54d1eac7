"""Fusion of the rain layers that a network finds at several sizes (`multi_scale_rain_layer`).

Rain that is too large for a network at full size becomes familiar when the photograph is shrunk. The strongest
layer is taken at each pixel, if it is elongated there and aligned with the others (ours). It left more error
on three kinds of rain, less on two, and more on average (`results/pseudo_label_rules.csv`), because networks
mistake edges of shrunk photographs for rain. Curation therefore uses the full size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pseudo_labels.layer_maps import directions, rain_found
from models.pseudo_labels.tta import Derain, mirrored_rain_layer

SMALLEST_SIDE = 16
"""Smallest side in pixels to which a photograph is shrunk."""


@dataclass(frozen=True, slots=True)
class MultiScaleRules:
    """The smaller sizes, and limits for the rain that is found at them."""

    smaller_scales: tuple[float, ...] = (0.75, 0.5)
    """Smaller sizes as shares of the full size."""
    least_elongation: float = 0.9
    """Minimum elongation of rain found at a smaller size."""
    least_alignment: float = 0.8
    """Minimum alignment of that rain with the common direction at its size."""
    least_ratio: float = 2.0
    """Minimum ratio of that rain's brightness to that of rain found at larger sizes."""


@torch.inference_mode()
def multi_scale_rain_layer(derain: Derain, rainy: Tensor, rules: MultiScaleRules | None = None) -> Tensor:
    """Find the rain layer of one photograph, (3, H, W): see `mirrored_rain_layer`."""
    rules = rules or MultiScaleRules()
    full = mirrored_rain_layer(derain, rainy)[None]
    strongest = rain_found(full)
    for scale in rules.smaller_scales:
        layer = _layer(derain, rainy, scale)
        found = rain_found(layer)
        running = directions(found)
        better = (
            (found > rules.least_ratio * strongest)
            & (running.anisotropy >= rules.least_elongation)
            & (running.alignment >= rules.least_alignment)
        )
        full = torch.where(better, layer, full)
        strongest = torch.where(better, found, strongest)
    return full[0]


def _layer(derain: Derain, rainy: Tensor, scale: float) -> Tensor:
    """Return the layer found at a smaller size, resized to full size, (1, 3, H, W)."""
    size = (rainy.shape[-2], rainy.shape[-1])
    small = tuple(max(round(side * scale), min(side, SMALLEST_SIDE)) for side in size)
    shrunk = F.interpolate(rainy[None], small, mode="bilinear", antialias=True)[0]
    layer = mirrored_rain_layer(derain, shrunk)[None]
    return F.interpolate(layer, size, mode="bilinear", antialias=False)

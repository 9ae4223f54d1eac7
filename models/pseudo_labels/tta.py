"""One photograph derained at several sizes and mirrored, fused to one rain layer.

Rain that is too large for a network at full size becomes familiar when the photograph is shrunk. Of the layers
found at the sizes, the strongest is taken at each pixel, if it is elongated there and runs with the others (ours).
Measured: better for none of six kinds of rain, clearly worse for two (`benchmarks/results/pseudo_label_rules.csv`):
networks take edges of shrunk photographs for rain. So smaller sizes are off by default.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pseudo_labels.layer_maps import directions, rain_found

Derain = Callable[[Tensor], Tensor]
"""(B, 3, H, W) floats in [0, 1] to the same, derained."""
SMALLEST_SIDE = 16
"""A photograph is not shrunk below this many pixels per side."""


@dataclass(frozen=True, slots=True)
class TtaConfig:
    """The views of a photograph."""

    scales: tuple[float, ...] = (1.0,)
    """Shares of the full size, which comes first."""
    mirrored: bool = True
    """Also look at the mirror image, and average: what a network finds should not depend on left and right."""
    least_elongation: float = 0.9
    """Least elongation of rain found at a smaller size."""
    least_alignment: float = 0.8
    """Least alignment of such rain with the common direction at that size."""
    least_ratio: float = 2.0
    """Least ratio of its brightness to that of rain found at larger sizes."""


ALL_SIZES = TtaConfig(scales=(1.0, 0.75, 0.5))


@torch.inference_mode()
def fused_layer(derain: Derain, rainy: Tensor, views: TtaConfig) -> Tensor:
    """Find the rain layer of one photograph.

    Parameters
    ----------
    derain : callable
        A network: (B, 3, H, W) floats in [0, 1] to the same.
    rainy : Tensor
        (3, H, W) floats in [0, 1].
    views : TtaConfig
        Sizes and mirror images.

    Returns
    -------
    Tensor
        (3, H, W): rainy - derained.
    """
    full, *smaller = (_layer(derain, rainy[None], scale, views.mirrored) for scale in views.scales)
    strongest = rain_found(full)
    for layer in smaller:
        found = rain_found(layer)
        running = directions(found)
        better = (
            (found > views.least_ratio * strongest)
            & (running.elongation >= views.least_elongation)
            & (running.alignment >= views.least_alignment)
        )
        full = torch.where(better, layer, full)
        strongest = torch.where(better, found, strongest)
    return full[0]


def _layer(derain: Derain, rainy: Tensor, scale: float, mirrored: bool) -> Tensor:
    """Return the layer found at one size, brought back to full size."""
    size = (rainy.shape[-2], rainy.shape[-1])
    small = tuple(max(round(side * scale), min(side, SMALLEST_SIDE)) for side in size)
    seen = rainy if small == size else F.interpolate(rainy, small, mode="bilinear", antialias=True)
    layer = seen - derain(seen)
    if mirrored:
        layer = (layer + (seen.flip(-1) - derain(seen.flip(-1))).flip(-1)) / 2
    return layer if small == size else F.interpolate(layer, size, mode="bilinear", antialias=False)

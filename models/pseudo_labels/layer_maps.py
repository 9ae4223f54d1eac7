"""Maps of rain layers: brightness (`rain_found`), directions, and the agreement of two layers (`agreement_map`).

A layer is R = rainy - derained. Rain is grey and brighter than what lies behind it, so a layer is reduced to the
mean of its channels where that is positive.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.structure_tensor import StructureTensor, blurred, central_gradients, structure_tensor

FLOOR = 3 / 255
"""Fainter layers do not count as rain: the traces that a network leaves in texture are that faint."""


def rain_found(layer: Tensor, floor: float = FLOOR) -> Tensor:
    """Return the bright part of a layer, (B, 3, H, W) to (B, 1, H, W); 0 where it is below the floor."""
    grey = layer.mean(dim=1, keepdim=True)
    return grey * (grey > floor)


def directions(found: Tensor) -> StructureTensor:
    """Measure the local directions of a layer (B, 1, H, W) that `rain_found` returned."""
    return structure_tensor(found, at_pixels=True)


def agreement_map(found: Tensor, other: Tensor) -> Tensor:
    """Return the local agreement of two layers: smaller / larger around each pixel, (B, 1, H, W) in [0, 1].

    It is 0 where either has no rain: two layers without rain do not count as agreeing.
    """
    smaller, larger = torch.minimum(found, other), torch.maximum(found, other)
    ratio = local_mean(smaller, 1.0) / local_mean(larger, 1.0).clamp(min=FLOOR)
    return ratio.clamp(0, 1) * (smaller > 0)


def steepness(picture: Tensor) -> Tensor:
    """Return the magnitude of the gradient at each pixel, (B, C, H, W)."""
    return torch.hypot(*central_gradients(picture))


def local_mean(picture: Tensor, sigma: float) -> Tensor:
    """Average (B, 1, H, W) around each pixel under a gaussian; edges are repeated."""
    return blurred(picture, sigma, repeat_edges=True)


def dilated(mask: Tensor, radius: int) -> Tensor:
    """Grow a mask (B, 1, H, W) of 0 and 1 by `radius` pixels."""
    return F.max_pool2d(mask, 2 * radius + 1, stride=1, padding=radius)

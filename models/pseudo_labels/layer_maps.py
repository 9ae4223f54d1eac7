"""Maps of rain layers: brightness (`rain_found`), directions, and the agreement of two layers (`agreement_map`).

A layer is R = rainy - derained. Rain is grey and brighter than what lies behind it, so a layer is looked at as the
mean of its channels where that is positive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

FLOOR = 3 / 255
"""Fainter layers count as nothing found: the traces of a network in texture are that faint."""
NEIGHBOURHOOD = 3.0
"""Standard deviation in pixels of the window in which directions and agreement are measured."""


def rain_found(layer: Tensor, floor: float = FLOOR) -> Tensor:
    """Return the bright part of a layer, (B, 3, H, W) to (B, 1, H, W); 0 where it is below the floor."""
    grey = layer.mean(dim=1, keepdim=True)
    return grey * (grey > floor)


@dataclass(frozen=True, slots=True)
class Directions:
    """The structure tensor of a layer around each pixel, its parts (B, 1, H, W) each (Bigun and Granlund, 1987).

    `along` and `cross` encode the direction at twice its angle, so that the two sides of a streak agree.
    """

    along: Tensor
    cross: Tensor
    trace: Tensor

    @property
    def elongation(self) -> Tensor:
        """(B, 1, H, W) in [0, 1]: 1 for lines, near 0 for dots and noise."""
        return torch.hypot(self.along, self.cross) / (self.trace + 1e-8)

    @property
    def alignment(self) -> Tensor:
        """(B, 1, H, W) in [0, 1]: 1 where a line runs in the layer's common direction, 0 from 45 degrees on."""
        along, cross = (part.sum((-2, -1), keepdim=True) for part in (self.along, self.cross))
        agreeing = self.along * along + self.cross * cross
        lengths = torch.hypot(self.along, self.cross) * torch.hypot(along, cross)
        return (agreeing / (lengths + 1e-12)).clamp(0, 1)


def directions(found: Tensor) -> Directions:
    """Measure in which direction a layer runs, (B, 1, H, W) as from `rain_found`."""
    rows, columns = gradients(found)
    parts = (columns**2 - rows**2, 2 * rows * columns, rows**2 + columns**2)
    return Directions(*(blurred(part, NEIGHBOURHOOD) for part in parts))


def agreement_map(found: Tensor, other: Tensor) -> Tensor:
    """Return the local agreement of two layers: smaller / larger around each pixel, (B, 1, H, W) in [0, 1].

    0 where either found nothing: two that find no rain agree on nothing.
    """
    smaller, larger = torch.minimum(found, other), torch.maximum(found, other)
    ratio = blurred(smaller, 1.0) / blurred(larger, 1.0).clamp(min=FLOOR)
    return ratio.clamp(0, 1) * (smaller > 0)


def gradients(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences down and to the right of (B, C, H, W), of the same size."""
    padded = F.pad(picture, (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    columns = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return rows, columns


def steepness(picture: Tensor) -> Tensor:
    """Return the length of the gradient of each pixel."""
    return torch.hypot(*gradients(picture))


def blurred(picture: Tensor, sigma: float) -> Tensor:
    """Average (B, 1, H, W) around each pixel under a gaussian; edges repeat their last pixel."""
    reach = math.ceil(3 * sigma)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=picture.device) / sigma) ** 2)
    line = line / line.sum()
    padded = F.pad(picture, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, line.reshape(1, 1, -1, 1)), line.reshape(1, 1, 1, -1))


def dilated(mask: Tensor, reach: int) -> Tensor:
    """Grow a mask (B, 1, H, W) of 0 and 1 by `reach` pixels."""
    return F.max_pool2d(mask, 2 * reach + 1, stride=1, padding=reach)

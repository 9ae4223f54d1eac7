"""Structure tensor of pictures (`structure_tensor`): local direction and anisotropy (Bigun and Granlund, 1987)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURHOOD = 3.0
"""Standard deviation in pixels of the window that the direction of a streak is measured in."""
FAINTEST_TRACE = 1e-8
"""Added to the squared gradients that anisotropy divides by, so that flat pictures have none."""


@dataclass(frozen=True, slots=True)
class StructureTensor:
    """Products of gradients, averaged around each pixel, one tensor of the shape of the gradients each.

    `along` and `cross` have the direction at twice its angle: the two sides of a streak then point the same way.
    """

    trace: Tensor
    along: Tensor
    cross: Tensor

    @property
    def strength(self) -> Tensor:
        """Strength of the gradients in the prevailing direction."""
        return torch.hypot(self.along, self.cross)

    @property
    def anisotropy(self) -> Tensor:
        """Agreement of the gradients, in [0, 1]: near 1 on lines and edges, near 0 for dots and noise."""
        return self.strength / (self.trace + FAINTEST_TRACE)

    @property
    def alignment(self) -> Tensor:
        """In [0, 1]: 1 where a line runs in the picture's common direction, 0 from 45 degrees on."""
        along, cross = (part.sum((-2, -1), keepdim=True) for part in (self.along, self.cross))
        agreeing = self.along * along + self.cross * cross
        lengths = self.strength * torch.hypot(along, cross)
        return (agreeing / (lengths + 1e-12)).clamp(0, 1)


def structure_tensor(pictures: Tensor, *, at_pixels: bool = False) -> StructureTensor:
    """Measure pictures (..., H, W).

    Parameters
    ----------
    pictures : Tensor
        (B, H, W) or, at pixels, (B, C, H, W).
    at_pixels : bool
        Whether gradients are those of pixels, by central differences, with edges that repeat, (..., H, W). Default:
        those of pixel corners, with zeros beyond the edges, (..., H - 1, W - 1); they see lines one pixel wide.
    """
    rows, columns = central_gradients(pictures) if at_pixels else corner_gradients(pictures)
    parts = (rows**2 + columns**2, columns**2 - rows**2, 2 * rows * columns)
    return StructureTensor(*(blurred(part, NEIGHBOURHOOD, repeat_edges=at_pixels) for part in parts))


def corner_gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences down and to the right at pixel corners, (..., H, W) to (..., H - 1, W - 1) each."""
    down, right = pictures[..., 1:, :] - pictures[..., :-1, :], pictures[..., 1:] - pictures[..., :-1]
    return (down[..., 1:] + down[..., :-1]) / 2, (right[..., 1:, :] + right[..., :-1, :]) / 2


def central_gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences down and to the right of (B, C, H, W), of the same size; edges repeat."""
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    columns = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return rows, columns


def blurred(pictures: Tensor, sigma: float, *, repeat_edges: bool = False) -> Tensor:
    """Average (..., H, W) around each pixel under a gaussian; beyond the edges are zeros, or their last pixel."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pictures.dtype)
    planes = pictures.reshape(-1, 1, *pictures.shape[-2:])
    if repeat_edges:
        planes, radius = F.pad(planes, (radius,) * 4, mode="replicate"), 0
    down = F.conv2d(planes, kernel[None, None, :, None], padding=(radius, 0))
    return F.conv2d(down, kernel[None, None, None, :], padding=(0, radius)).reshape(pictures.shape)

"""Structure tensor of pictures (`structure_tensor`): local direction and anisotropy (Bigun and Granlund, 1987)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURHOOD = 3.0
"""Standard deviation in pixels of the window in which the direction of a streak is measured."""
FAINTEST_TRACE = 1e-8
"""Added to the denominator of the anisotropy, which is then 0 for flat pictures."""


@dataclass(frozen=True, slots=True)
class StructureTensor:
    """Products of gradients, averaged around each pixel; each tensor has the shape of the gradients.

    `along` and `cross` represent the direction at twice its angle, so that both sides of a streak point the same
    way.
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
        """Agreement with the picture's common direction, in [0, 1]: 1 along it, 0 from 45 degrees on."""
        along, cross = (part.sum((-2, -1), keepdim=True) for part in (self.along, self.cross))
        agreeing = self.along * along + self.cross * cross
        lengths = self.strength * torch.hypot(along, cross)
        return (agreeing / (lengths + 1e-12)).clamp(0, 1)


def structure_tensor(pictures: Tensor, *, at_pixels: bool = False) -> StructureTensor:
    """Compute the structure tensor of pictures.

    Parameters
    ----------
    pictures : Tensor
        (B, H, W), or (B, C, H, W) with `at_pixels`.
    at_pixels : bool
        Whether to take gradients at pixels, by central differences with repeated edges, (..., H, W). By default
        they are taken at pixel corners, with zeros beyond the edges, (..., H - 1, W - 1), and see lines one pixel
        wide.
    """
    rows, columns = central_gradients(pictures) if at_pixels else corner_gradients(pictures)
    parts = (rows**2 + columns**2, columns**2 - rows**2, 2 * rows * columns)
    return StructureTensor(*(blurred(part, NEIGHBOURHOOD, repeat_edges=at_pixels) for part in parts))


def corner_gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences down and to the right at pixel corners, (..., H, W) to (..., H - 1, W - 1) each."""
    down, right = pictures[..., 1:, :] - pictures[..., :-1, :], pictures[..., 1:] - pictures[..., :-1]
    return (down[..., 1:] + down[..., :-1]) / 2, (right[..., 1:, :] + right[..., :-1, :]) / 2


def central_gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences down and to the right, (B, C, H, W) each; edges are repeated."""
    padded = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
    rows = (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2
    columns = (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2
    return rows, columns


def blurred(pictures: Tensor, sigma: float, *, repeat_edges: bool = False) -> Tensor:
    """Average (..., H, W) around each pixel under a gaussian, with zeros or repeated pixels beyond the edges."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pictures.dtype)
    planes = pictures.reshape(-1, 1, *pictures.shape[-2:])
    if repeat_edges:
        planes, radius = F.pad(planes, (radius,) * 4, mode="replicate"), 0
    down = F.conv2d(planes, kernel[None, None, :, None], padding=(radius, 0))
    return F.conv2d(down, kernel[None, None, None, :], padding=(0, radius)).reshape(pictures.shape)

"""Structure tensor of pictures (`structure_tensor`): local direction and anisotropy (Bigun and Granlund, 1987)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

NEIGHBOURHOOD = 3.0
"""Standard deviation in pixels of the window that the direction of a streak is measured in."""


@dataclass(frozen=True, slots=True)
class StructureTensor:
    """Gradients of pictures, averaged around each pixel, (B, H - 1, W - 1) each.

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
        """Agreement of the gradients, in [0, 1]: near 1 on a line or an edge, 0 on a flat picture."""
        return self.strength / self.trace.clamp(min=1e-12)


def structure_tensor(pictures: Tensor) -> StructureTensor:
    """Measure pictures (B, H, W)."""
    rows, columns = gradients(pictures)
    parts = (rows**2 + columns**2, columns**2 - rows**2, 2 * rows * columns)
    return StructureTensor(*(blurred(part, NEIGHBOURHOOD) for part in parts))


def gradients(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Return the differences of neighbours down and to the right at pixel corners, (B, H - 1, W - 1) each."""
    down, right = pictures[:, 1:] - pictures[:, :-1], pictures[:, :, 1:] - pictures[:, :, :-1]
    return (down[:, :, 1:] + down[:, :, :-1]) / 2, (right[:, 1:] + right[:, :-1]) / 2


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    """Average pictures (B, H, W) under a gaussian, zeros beyond the edges."""
    reach = torch.arange(-math.ceil(3 * sigma), math.ceil(3 * sigma) + 1, device=pictures.device)
    kernel = torch.exp(-0.5 * (reach / sigma) ** 2)
    kernel = (kernel / kernel.sum()).to(pictures.dtype)
    padding = len(kernel) // 2
    down = F.conv2d(pictures[:, None], kernel[None, None, :, None], padding=(padding, 0))
    return F.conv2d(down, kernel[None, None, None, :], padding=(0, padding))[:, 0]

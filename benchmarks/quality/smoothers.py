"""Filters that remove rain and detail alike; any network must beat them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def box_blur(rainy: Tensor) -> Tensor:
    """Average (B, 3, H, W) over 3x3 pixels."""
    return F.avg_pool2d(F.pad(rainy, (1, 1, 1, 1), mode="replicate"), 3, 1)


def gaussian_blur(rainy: Tensor) -> Tensor:
    """Blur (B, 3, H, W) with a standard deviation of 2 pixels, which removes most thin lines."""
    line = torch.exp(-0.5 * (torch.arange(-6.0, 7.0) / 2) ** 2)
    window = (torch.outer(line, line) / line.sum() ** 2).expand(3, 1, -1, -1)
    return F.conv2d(F.pad(rainy, (6, 6, 6, 6), mode="replicate"), window, groups=3)

"""Procedural streaks: sparse drops, drawn out along the direction of fall.

A layer is noise convolved with a soft line. Rain near and far, fine and bold differs only in the numbers of
`StreakFamily`; a sample draws its own numbers within their ranges.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.draws import Draws


@dataclass(frozen=True, slots=True)
class StreakFamily:
    """Ranges that one kind of streak is drawn from; lengths and widths in pixels."""

    length: tuple[float, float]
    width: tuple[float, float]
    """Standard deviation across the streak."""
    density: tuple[float, float]
    """Share of pixels at which a streak is centred."""
    brightness: tuple[float, float]
    """Grey level of the brightest streak."""


FINE = StreakFamily((4.0, 30.0), (0.35, 0.8), (2e-3, 2e-2), (0.05, 0.35))
MEDIUM = StreakFamily((12.0, 60.0), (0.5, 1.2), (3e-4, 4e-3), (0.1, 0.7))
BOLD = StreakFamily((30.0, 110.0), (0.8, 3.0), (3e-5, 6e-4), (0.15, 0.9))
FAINT_LONG = StreakFamily((60.0, 120.0), (0.4, 1.5), (2e-4, 1e-3), (0.04, 0.2))
"""Kinds seen on real photographs: dense distant rain, ordinary, near drops, veils of long thin streaks."""

ANGLE_SPREAD = 0.06
"""Radians that the two halves of a layer's streaks lie apart at most."""


def procedural_layer(draws: Draws, family: StreakFamily, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Render one layer of streaks a sample.

    Parameters
    ----------
    draws : Draws
        Where the numbers come from; B samples.
    family : StreakFamily
        Ranges of the streaks' sizes.
    angle : Tensor
        (B,) direction of fall in radians; 0 falls straight down.
    size : tuple of int
        Height and width of the layer.

    Returns
    -------
    Tensor
        (B, 1, H, W) floats in [0, 1], periodic at the edges.
    """
    length, width, density, brightness = (
        draws.log_uniform(*limits)
        for limits in (family.length, family.width, family.density, family.brightness)
    )
    drops = draws.uniform(shape=size) < density[:, None, None] * _uneven(draws, size)
    weights = draws.uniform(shape=size).square() * drops
    first_half = draws.uniform(shape=size) < 0.5
    spread = draws.uniform(-ANGLE_SPREAD, ANGLE_SPREAD)
    layer = torch.zeros_like(weights)
    for turn, part in ((spread, first_half), (-spread, ~first_half)):
        layer = layer + _convolve(weights * part, soft_line(length, width, angle + turn, size))
    return (brightness[:, None, None] * layer.clamp(0, 1))[:, None]


def soft_line(length: Tensor, width: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw a line through the origin, (B, H, W): gaussian across, soft at its ends, peak 1, periodic."""
    rows, columns = (
        torch.fft.fftfreq(extent, 1 / extent, device=angle.device) for extent in size
    )  # whole numbers around 0, in the order a periodic convolution wants
    sine, cosine = torch.sin(angle)[:, None, None], torch.cos(angle)[:, None, None]
    along = rows[:, None] * cosine + columns[None, :] * sine
    across = columns[None, :] * cosine - rows[:, None] * sine
    ends = torch.sigmoid((length[:, None, None] / 2 - along.abs()) * 1.5)
    return ends * torch.exp(-0.5 * (across / width[:, None, None]) ** 2)


def _uneven(draws: Draws, size: tuple[int, int]) -> Tensor:
    """Let the density vary smoothly over the frame, (B, H, W) around 1."""
    coarse = draws.uniform(0.0, 2.0, shape=(3, 3))[:, None]
    smooth = F.interpolate(coarse, size, mode="bilinear", align_corners=True)
    return smooth[:, 0]


def _convolve(drops: Tensor, kernel: Tensor) -> Tensor:
    spectrum = torch.fft.rfft2(drops) * torch.fft.rfft2(kernel)
    layer: Tensor = torch.fft.irfft2(spectrum, s=drops.shape[-2:])
    return layer

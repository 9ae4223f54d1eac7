"""Procedural streaks (`procedural_layer`): sparse drops, elongated along the direction of fall.

A layer is noise convolved with a line. Near and far, fine and bold rain differ only in the ranges of a
`StreakFamily`, from which each sample draws its own numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rng import SampleRng


@dataclass(frozen=True, slots=True)
class StreakFamily:
    """Ranges of one kind of streaks; lengths and widths in pixels."""

    length: tuple[float, float]
    width: tuple[float, float]
    """Standard deviation across a soft streak, or half the width of a flat one."""
    density: tuple[float, float]
    """Fraction of pixels at which a streak is centred."""
    brightness: tuple[float, float]
    """Grey level of the brightest streak."""
    flat: bool = False
    """Whether streaks are evenly bright, sharp-edged and of similar strength, instead of soft and mostly faint."""
    coverage: float = 1.0
    """Largest fraction of the frame that streaks cover, which bounds the density of long and wide ones."""


FINE = StreakFamily((4.0, 30.0), (0.35, 0.8), (4e-3, 3e-2), (0.08, 0.4))
MEDIUM = StreakFamily((12.0, 60.0), (0.5, 1.2), (3e-4, 4e-3), (0.1, 0.7))
BOLD = StreakFamily((30.0, 110.0), (0.8, 3.0), (3e-5, 6e-4), (0.15, 0.9))
FAINT_LONG = StreakFamily((60.0, 120.0), (0.4, 1.5), (2e-4, 1e-3), (0.04, 0.2))
SOFT = StreakFamily((15.0, 80.0), (0.9, 2.6), (1e-3, 1e-2), (0.08, 0.4), coverage=0.9)
SHEET = StreakFamily((15.0, 70.0), (0.5, 2.2), (1e-3, 8e-3), (0.25, 0.95), flat=True, coverage=0.4)
DENSE = StreakFamily((8.0, 45.0), (0.6, 1.6), (5e-3, 4e-2), (0.03, 0.35))
SPLASH = StreakFamily((1.0, 4.0), (0.5, 1.5), (5e-4, 6e-3), (0.1, 0.6))
"""Families for training: fine rain, ordinary rain, near drops, veils of long thin streaks, the blurred rain of long
lenses, the sheets of heavy synthetic rain, dense distant rain, and dots where drops hit the ground."""

COARSE = StreakFamily((40.0, 120.0), (3.5, 6.0), (2e-5, 2e-4), (0.15, 0.6))
SLEET = StreakFamily((5.0, 10.0), (1.2, 2.2), (5e-4, 4e-3), (0.2, 0.8))
NEEDLES = StreakFamily((150.0, 240.0), (0.3, 0.6), (5e-5, 5e-4), (0.4, 0.9))
"""Families for evaluation alone: blurred drops near the lens, short fat grains, long bright threads."""

ANGLE_SPREAD = 0.06
"""Largest deviation, in radians, of each half of a layer's streaks from the layer's angle."""


def procedural_layer(rng: SampleRng, family: StreakFamily, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Render one layer of streaks per sample.

    Parameters
    ----------
    rng : SampleRng
        Random numbers of B samples.
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
        rng.log_uniform(*limits)
        for limits in (family.length, family.width, family.density, family.brightness)
    )
    density = torch.minimum(density, family.coverage / (2 * length * width))
    # One number per pixel decides whether a drop falls there, in which half of the layer, and its strength.
    share = rng.uniform(shape=size) / (density[:, None, None] * _uneven(rng, size))  # (B, H, W)
    strength = (2 * share) % 1
    strength = (0.4 + 0.6 * strength if family.flat else strength.square()) * (share < 1)
    spread = rng.uniform(-ANGLE_SPREAD, ANGLE_SPREAD)  # (B,)
    line = flat_line if family.flat else soft_line
    spectrum = torch.zeros((), device=rng.device)
    for turn, half in ((spread, share < 0.5), (-spread, share >= 0.5)):
        kernel = line(length, width, angle + turn, size)  # (B, H, W)
        spectrum = spectrum + torch.fft.rfft2(strength * half) * torch.fft.rfft2(kernel)  # (B, H, W // 2 + 1)
    layer: Tensor = torch.fft.irfft2(spectrum, s=size)  # (B, H, W)
    return (brightness[:, None, None] * layer.clamp(0, 1))[:, None]  # (B, 1, H, W)


def splash_layer(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Render the dots of drops that hit the ground, in the lower part of the frame, (B, 1, H, W) in [0, 1]."""
    dots = procedural_layer(rng, SPLASH, rng.uniform(-torch.pi, torch.pi), size)
    horizon = rng.uniform(0.2, 0.8)[:, None, None, None]
    rows = torch.linspace(0, 1, size[0], device=rng.device)[:, None]
    return dots * ((rows - horizon) * 8).clamp(0, 1)


def soft_line(length: Tensor, width: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw a line through the origin, (B, H, W): Gaussian profile, soft ends, peak 1, periodic."""
    along, across = _line_coordinates(angle, size)
    ends = torch.sigmoid((length[:, None, None] / 2 - along.abs()) * 1.5)
    return ends * torch.exp(-0.5 * (across / width[:, None, None]) ** 2)


def flat_line(length: Tensor, width: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Draw a line through the origin, (B, H, W): about 1 throughout, falling off within a pixel, periodic."""
    along, across = _line_coordinates(angle, size)
    ends = torch.sigmoid((length[:, None, None] / 2 - along.abs()) * 3)
    return ends * torch.sigmoid((width[:, None, None] - across.abs()) * 4)


def _line_coordinates(angle: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return the distances of each pixel from the origin along and across the line, (B, H, W) each."""
    # Integers around 0, in the order of a periodic convolution.
    rows, columns = (torch.fft.fftfreq(extent, 1 / extent, device=angle.device) for extent in size)
    sine, cosine = torch.sin(angle)[:, None, None], torch.cos(angle)[:, None, None]
    along = rows[:, None] * cosine + columns[None, :] * sine
    across = columns[None, :] * cosine - rows[:, None] * sine
    return along, across


def _uneven(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw a factor around 1 that varies smoothly over the frame, (B, H, W), for the density."""
    coarse = rng.uniform(0.05, 2.0, shape=(3, 3))[:, None]
    smooth = F.interpolate(coarse, size, mode="bilinear", align_corners=True)
    return smooth[:, 0]

"""Raindrops on the lens (`on_the_lens`): small lenses that show the scene inverted, reduced and out of focus.

Modelled on photographs, not on a published method: each drop refracts like a fisheye (it shows points mirrored
about its centre and `MAGNIFICATION` times as far from it), is darker at its rim, and fades into the photograph at
its edge because the camera focuses on the scene behind.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rng import SampleRng

PIXELS_PER_DROP = 2500
"""Pixels of the photograph per possible drop; a sample has a fraction of the possible drops."""
RADIUS = (4.0, 24.0)
"""Range of the radius in pixels."""
MAGNIFICATION = (2.0, 6.0)
"""Range of the factor by which points are further from a drop's centre than their images in the drop."""


def on_the_lens(rng: SampleRng, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Render drops on the lens through which photographs were taken.

    Parameters
    ----------
    rng : SampleRng
        Random numbers of B samples.
    clean : Tensor
        (B, 3, H, W) in [0, 1].

    Returns
    -------
    rainy : Tensor
        (B, 3, H, W) in [0, 1].
    opacity : Tensor
        (B, 1, H, W) in [0, 1]: the fraction of each pixel that a drop covers.
    """
    size = (clean.shape[-2], clean.shape[-1])
    x, y, radius, distance = _nearest(rng, size)
    opacity = ((1 - distance) * radius / rng.uniform(1.5, 4.0)[:, None, None]).clamp(0, 1)[:, None]
    seen = _through(clean, _refracted(rng, x, y, size))
    rim = 1 - rng.uniform(0.1, 0.6)[:, None, None] * distance.clamp(0, 1) ** 4
    light = rng.uniform(0.8, 1.25)[:, None, None]
    return torch.lerp(clean, (seen * (rim * light)[:, None]).clamp(0, 1), opacity), opacity


def _nearest(rng: SampleRng, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Find the nearest of P drops per pixel: offset x, offset y, radius, distance in radii, (B, H, W) each."""
    places = max(1, size[0] * size[1] // PIXELS_PER_DROP)
    filled = rng.uniform(shape=(places,)) < rng.uniform(0.2, 1.0)[:, None]  # (B, P)
    filled[:, 0] = True
    radius = rng.log_uniform(*RADIUS, shape=(places,)) * torch.where(filled, 1.0, 1e-3)
    tall = rng.uniform(0.9, 1.5, shape=(places,))  # (B, P)
    rows, columns = (torch.arange(extent, device=rng.device) for extent in size)
    centre_y, centre_x = (rng.uniform(0, extent, shape=(places,)) for extent in size)
    y = (rows[:, None] - centre_y[:, :, None, None]) / tall[:, :, None, None]  # (B, P, H, 1)
    x = columns[None, :] - centre_x[:, :, None, None]  # (B, P, 1, W)
    distance, drop = (torch.sqrt(x**2 + y**2) / radius[:, :, None, None]).min(dim=1)  # (B, H, W) each
    along = [part.expand_as(x + y).gather(1, drop[:, None])[:, 0] for part in (x, y)]  # (B, H, W) each
    return along[0], along[1], radius.gather(1, drop.flatten(1)).reshape(drop.shape), distance


def _refracted(rng: SampleRng, x: Tensor, y: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the points that drops show, (B, H, W, 2) in [-1, 1]."""
    displacement = 1 + rng.uniform(*MAGNIFICATION)[:, None, None]
    rows, columns = (torch.arange(extent, device=rng.device) for extent in size)
    across = 2 * (columns[None, :] - displacement * x) / size[1] - 1
    down = 2 * (rows[:, None] - displacement * y) / size[0] - 1
    return torch.stack((across, down), dim=-1)


def _through(clean: Tensor, points: Tensor) -> Tensor:
    soft = F.avg_pool2d(clean, 5, stride=1, padding=2, count_include_pad=False)
    return F.grid_sample(soft, points, padding_mode="reflection", align_corners=False)

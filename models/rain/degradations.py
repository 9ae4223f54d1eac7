"""Degradations of both sides of a pair: exposure, mist, soft focus, noise and JPEG.

On the rainy side alone, they would train a denoiser that alters clean photographs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional as F

from models.rng import SampleRng

_LUMINANCE_TABLE = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
"""Quantisation steps of luminance at quality 50 (ITU-T T.81, table K.1)."""
_CHROMINANCE_TABLE = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *(((99,) * 8,) * 4),
)
"""The same of chrominance (table K.2)."""
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
"""Y, Cb and Cr, of which the last two are centred at 0 here, from R, G and B (ITU-T T.871)."""


def jitter_exposure(rng: SampleRng, clean: Tensor) -> Tensor:
    """Vary brightness and gamma: dusk, night, pale days."""
    gamma = torch.where(rng.chance(0.5), rng.log_uniform(0.7, 1.8), 1.0)
    gain = torch.where(rng.chance(0.3), rng.uniform(0.5, 1.0), 1.0)
    return per_sample(gain) * clean.clamp(1e-4, 1) ** per_sample(gamma)


def defocus(rng: SampleRng, clean: Tensor) -> Tensor:
    """Blur photographs a little: a background out of focus behind sharp rain."""
    return blurred(clean, rng.uniform(0.4, 1.5))


def blurred(pictures: Tensor, sigma: Tensor) -> Tensor:
    """Blur each picture, (B, C, H, W), by a Gaussian of its own standard deviation, (B,), cut off at 4 pixels."""
    offsets = torch.arange(-4, 5, device=pictures.device)
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None]) ** 2)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(pictures.shape[1], 0)[:, None]
    planes = F.pad(pictures.reshape(1, -1, *pictures.shape[-2:]), (4, 4, 4, 4), mode="reflect")
    with without_autocast(pictures):
        across = F.conv2d(planes, kernel[:, :, :, None], groups=kernel.shape[0])
        return F.conv2d(across, kernel[:, :, None, :], groups=kernel.shape[0]).reshape(pictures.shape)


def haze(rng: SampleRng, clean: Tensor) -> Tensor:
    """Add mist that thickens with distance (Koschmieder, 1924); distances are drawn by `_distance`."""
    size = (clean.shape[-2], clean.shape[-1])
    air = rng.uniform(0.5, 0.95, shape=(1, 1, 1)) + rng.uniform(-0.03, 0.03, shape=(3, 1, 1))
    thickness = 1 - torch.exp(-per_sample(rng.uniform(0.05, 1.2)) * _distance(rng, size))
    return torch.lerp(clean, air.expand_as(clean), thickness)


def _distance(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw a distance map, (B, 1, H, W) in [0, 1]: ground that recedes to a horizon, and objects on it."""
    horizon = rng.uniform(0.0, 0.8)[:, None, None]
    rows = torch.linspace(0, 1, size[0], device=rng.device)[:, None]
    recede = (1 - (rows - horizon) / (1 - horizon)).clamp(0, 1).expand(-1, -1, size[1])
    objects = F.interpolate(rng.uniform(shape=(1, 3, 3)), size, mode="bilinear", align_corners=True)
    share = rng.uniform()[:, None, None, None]
    return torch.lerp(recede[:, None], objects, share)


def sensor_noise(rng: SampleRng, size: tuple[int, int]) -> Tensor:
    """Draw sensor noise for both sides, (B, 3, H, W)."""
    return per_sample(rng.uniform(0.002, 0.02)) * rng.normal(shape=(3, *size))


def jpeg(pictures: Tensor, quality: Tensor) -> Tensor:
    """Apply the losses of baseline JPEG: quantisation in YCbCr, and chroma of half the size (4:2:0).

    Parameters
    ----------
    pictures : Tensor
        (B, 3, H, W) in [0, 1], sizes multiples of 8.
    quality : Tensor
        (B,) quality in (0, 100].

    Returns
    -------
    Tensor
        (B, 3, H, W) in [0, 1].
    """
    height, width = pictures.shape[-2:]
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50).clamp(min=0.02)
    with without_autocast(pictures):
        whole = F.pad(255 * pictures, (0, -width % 16, 0, -height % 16), mode="replicate")
        planes = torch.einsum("ij,bjhw->bihw", pictures.new_tensor(_TO_YCBCR), whole)  # Y, Cb, Cr
        luminance = _quantised(planes[:, :1] - 128, _LUMINANCE_TABLE, scale) + 128
        chroma = _quantised(F.avg_pool2d(planes[:, 1:], 2), _CHROMINANCE_TABLE, scale)
        chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear")
        shown = torch.einsum(
            "ij,bjhw->bihw", pictures.new_tensor(_TO_YCBCR).inverse(), torch.cat((luminance, chroma), 1)
        )
    return (shown[..., :height, :width] / 255).clamp(0, 1)


def _quantised(planes: Tensor, table: Sequence[Sequence[int]], scale: Tensor) -> Tensor:
    """Round the DCT coefficients of blocks of 8x8; planes (B, C, H, W) are centred at 0, scale is (B,)."""
    steps = (planes.new_tensor(table) * per_sample(scale)).clamp(min=1).round()[:, :, None, :, None, :]
    batch, channels, height, width = planes.shape
    blocks = planes.reshape(batch, channels, height // 8, 8, width // 8, 8)
    basis = _dct_basis(planes.device)
    spectrum = torch.einsum("ui,bcyixj,vj->bcyuxv", basis, blocks, basis)
    kept = torch.round(spectrum / steps) * steps
    return torch.einsum("ui,bcyuxv,vj->bcyixj", basis, kept, basis).reshape(planes.shape)


def _dct_basis(device: torch.device) -> Tensor:
    """Return the orthonormal DCT-II of length 8; rows are frequencies."""
    position = torch.arange(8, device=device)
    basis = torch.cos(torch.pi * (2 * position[None, :] + 1) * position[:, None] / 16) / 2
    basis[0] *= math.sqrt(0.5)
    return basis


def without_autocast(pictures: Tensor) -> AbstractContextManager[object]:
    """Return a context that computes in fp32 even under autocast: bf16 would lose grey levels.

    Leaving an autocast context empties the cache of cast weights of all threads, so none is entered needlessly:
    otherwise a batch that is rendered during a training step would change how that step rounds.
    """
    device = pictures.device.type
    return torch.autocast(device, enabled=False) if torch.is_autocast_enabled(device) else nullcontext()


def per_sample(values: Tensor) -> Tensor:
    """Give numbers, (B,), the shape (B, 1, 1, 1), so that each applies to a whole sample."""
    return values[:, None, None, None]

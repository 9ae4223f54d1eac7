"""Re-rain: streaks of real rain on clean photographs, so that real rain has exact labels.

x' = min(clean + g s, 1), with s from a bank of real streaks (`models.rain.streak_mining`), mixed like the layers of
RainMix (Guo et al., AAAI 2021). It cannot make a network collapse; only a contaminated bank does harm. The ranges
are ours.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.pairs import RainyPair
from models.rain.banks import Bank, sample
from models.rain.crop_grids import inner_grid
from models.rng import SampleRng

TURN = math.radians(30)
"""Largest angle, in radians, by which layers are turned to either side."""
SCALE = (0.7, 1.3)
GAIN = (0.7, 2.0)
"""Range of the gain; networks find less of an unknown rain than there is, and gains above 1 compensate for it."""
MOST_LAYERS = 3
"""Largest number of layers that are mixed."""


def rerained(rng: SampleRng, bank: Bank, clean: Tensor) -> RainyPair:
    """Add real streaks to clean photographs (B, 3, H, W); B is the number of samples of `rng`."""
    streaks = real_streaks(rng, bank, (clean.shape[-2], clean.shape[-1]))
    return RainyPair((clean + streaks).clamp(max=1), clean, streaks)


def real_streaks(rng: SampleRng, bank: Bank, size: tuple[int, int]) -> Tensor:
    """Mix one to three layers about a common direction, (B, 1, H, W) in [0, 1]."""
    common = rng.uniform(-TURN, TURN)
    count = 1 + rng.integer(MOST_LAYERS)
    total = torch.zeros(rng.batch, 1, *size, device=rng.device)
    for number in range(MOST_LAYERS):
        chosen = count > number
        branch = rng.subset(chosen)
        if chosen.any():
            total[chosen] += _layer(branch, bank, common[chosen], size)
    return total.clamp(0, 1)


def _layer(rng: SampleRng, bank: Bank, angle: Tensor, size: tuple[int, int]) -> Tensor:
    index = rng.integer(len(bank))
    scale, gain = rng.log_uniform(*SCALE), rng.log_uniform(*GAIN)
    return sample(bank, index, inner_grid(rng, bank, index, (angle, scale), size)) * gain[:, None, None, None]

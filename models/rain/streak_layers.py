"""Rain layers of photographs: streaks of the bank (`bank_streaks`) and `procedural_streaks`."""

from __future__ import annotations

import torch
from torch import Tensor

from models.rain.banks import Bank, sample
from models.rain.crop_grids import turned_grid
from models.rain.recipes import Families
from models.rain.streaks import procedural_layer, splash_layer
from models.rng import SampleRng

BANK_LAYERS = 4
"""Largest number of bank layers that are summed: heavy rain falls in several directions."""
SPLASHES = 0.2
"""Probability that procedural rain splashes on the ground."""


def bank_streaks(rng: SampleRng, bank: Bank, size: tuple[int, int]) -> Tensor:
    """Sum one to four layers of the bank, turned about a common direction, (B, 1, H, W), not clipped."""
    turn = rng.uniform(-0.8, 0.8)
    count = 1 + rng.integer(BANK_LAYERS)
    total = torch.zeros(rng.batch, 1, *size, device=rng.device)
    for number in range(BANK_LAYERS):
        chosen = count > number
        branch = rng.subset(chosen)
        if chosen.any():
            total[chosen] += _turned_layer(branch, bank, turn[chosen], size)
    return total


def _turned_layer(rng: SampleRng, bank: Bank, turn: Tensor, size: tuple[int, int]) -> Tensor:
    index = rng.integer(len(bank))
    angle = turn + rng.uniform(-0.5, 0.5) * rng.chance(0.5)
    gain = rng.log_uniform(0.4, 3.0)
    return sample(bank, index, turned_grid(rng, bank, index, angle, size)) * gain[:, None, None, None]


def procedural_streaks(rng: SampleRng, families: Families, size: tuple[int, int]) -> Tensor:
    """Sum families about one direction of fall, and some splashes, (B, 1, H, W), not clipped."""
    angle = rng.normal() * 0.35
    total = torch.zeros(rng.batch, 1, *size, device=rng.device)
    for family, chance in families:
        chosen = rng.chance(chance)
        branch = rng.subset(chosen)
        if chosen.any():
            turned = angle[chosen] + branch.uniform(-0.3, 0.3)
            total[chosen] += procedural_layer(branch, family, turned, size)
    chosen = rng.chance(SPLASHES)
    branch = rng.subset(chosen)
    if chosen.any():
        total[chosen] += splash_layer(branch, size)
    return total

"""Clean content that looks like rain and must be kept: wires, grass, hair, fences, blinds, nets, snow, lights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from models.rain.streaks import MEDIUM, StreakFamily, procedural_layer
from models.rng import SampleRng

DOTS = StreakFamily((1.0, 4.0), (1.5, 4.0), (3e-4, 1.5e-3), (0.3, 0.9))
"""Fewer and larger dots than those of splashes, which networks remove."""


def strands(rng: SampleRng, clean: Tensor) -> Tensor:
    """Draw dark or coloured streak-like detail into photographs (B, 3, H, W): wires, grass, hair."""
    size = (clean.shape[-2], clean.shape[-1])
    lines = procedural_layer(rng, MEDIUM, rng.uniform(-math.pi / 2, math.pi / 2), size)
    colour = rng.uniform(shape=(3, 1, 1)) * rng.chance(0.5)[:, None, None, None]
    return torch.lerp(clean, colour * clean, lines.expand_as(clean))


def dots(rng: SampleRng, clean: Tensor) -> Tensor:
    """Draw round bright dots, white or coloured: snow, blossom, distant lights."""
    size = (clean.shape[-2], clean.shape[-1])
    spots = procedural_layer(rng, DOTS, rng.uniform(-math.pi, math.pi), size)
    colour = rng.uniform(0.5, 1.0, shape=(3, 1, 1))
    return torch.lerp(clean, colour.expand_as(clean), spots.expand_as(clean))


def grating(rng: SampleRng, clean: Tensor) -> Tensor:
    """Draw bright parallel or crossing lines, evenly spaced: fences, blinds, nets."""
    rows, columns = (torch.arange(extent, device=rng.device) for extent in clean.shape[-2:])
    angle, period = rng.uniform(-math.pi, math.pi), rng.log_uniform(5.0, 28.0)
    width = (period * rng.uniform(0.06, 0.2))[:, None, None]
    lines = torch.zeros(len(clean), *clean.shape[-2:], device=rng.device)
    crossing = rng.chance(0.6)
    for turn, drawn in ((0.0, torch.ones_like(crossing)), (math.pi / 2, crossing)):
        sine, cosine = torch.sin(angle + turn)[:, None, None], torch.cos(angle + turn)[:, None, None]
        across = columns * cosine + rows[:, None] * sine
        offset = torch.remainder(across, period[:, None, None]) - period[:, None, None] / 2
        lines = torch.maximum(lines, torch.exp(-0.5 * (offset / width) ** 2) * drawn[:, None, None])
    colour = rng.uniform(0.4, 1.0, shape=(1, 1, 1)) * rng.uniform(0.85, 1.0, shape=(3, 1, 1))
    strength = lines[:, None] * rng.uniform(0.3, 1.0, shape=(1, 1, 1))
    return torch.lerp(clean, colour.expand_as(clean), strength.expand_as(clean))

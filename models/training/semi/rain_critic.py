"""A small classifier of photographs with and without rain (`RainCritic`), whose features represent rain. Ours.

A deraining network's own features cannot see the rain that it misses, so the critic learns from families of streaks
that are used neither to train such networks nor to evaluate them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.rain.banks import Bank, TrainingData, sample
from models.rain.crop_grids import crop_grid
from models.rain.degradations import jitter_exposure
from models.rain.streaks import StreakFamily, procedural_layer
from models.rng import SampleRng

RIBBONS = StreakFamily((20.0, 60.0), (2.2, 3.4), (1e-4, 8e-4), (0.08, 0.5), flat=True)
GRAINS = StreakFamily((6.0, 14.0), (0.7, 1.1), (2e-3, 1.2e-2), (0.08, 0.5), flat=True)
FAMILIES = (RIBBONS, GRAINS)
"""Families that only the critic sees: broad even ribbons, short sharp grains."""
WIDTHS = (16, 24, 32, 48, 64)
"""Widths of the five levels, finest first."""
SLOPE = 0.1
PHOTOGRAPHS = 8
"""Photographs per step, each without and with rain: the two versions differ in nothing but rain."""
CROP = 64
STEPS = 600
LEARNING_RATE = 1e-3
HELD_OUT_CROPS = 64


class RainCritic(nn.Module):
    """Five levels of convolutions, each at half the resolution of the one before, and a logit for rain."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, stride=1 if number == 0 else 2, padding=1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(width, width, 3, padding=1),
                nn.LeakyReLU(SLOPE),
            )
            for number, (before, width) in enumerate(zip(inputs, WIDTHS, strict=True))
        )
        self.head = nn.Linear(WIDTHS[-1], 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, a=SLOPE)
                nn.init.zeros_(part.bias)  # type: ignore[arg-type]

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return five levels of features of pictures (B, 3, H, W) in [0, 1], finest first."""
        features = [pictures.float() - 0.5]
        for level in self.levels:
            features.append(level(features[-1]))
        return features[1:]

    def forward(self, pictures: Tensor) -> Tensor:
        """Return one logit per picture, (B,); positive means rain."""
        logits: Tensor = self.head(self.features(pictures)[-1].amax((2, 3)))
        return logits[:, 0]


@dataclass(frozen=True, slots=True)
class TrainedCritic:
    """A critic and its accuracy."""

    critic: RainCritic
    accuracy: float
    """Share of held-out photographs, half of them with rain, that it classifies correctly."""


def train_critic(
    training: TrainingData, held_out: TrainingData, seed: int, steps: int = STEPS, crop: int = CROP
) -> TrainedCritic:
    """Train a critic on clean photographs; the default number of steps takes minutes on one core.

    Parameters
    ----------
    training, held_out : TrainingData
        Data of both splits; only the photographs are used.
    seed : int
        Seed; the same seed gives the same critic on the same machine.
    steps : int
        Optimiser steps, with 8 crops each, without and with rain.
    crop : int
        Side of the crops in pixels.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic = RainCritic().to(training.photographs.pixels.device)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        samples = torch.arange(step * PHOTOGRAPHS, (step + 1) * PHOTOGRAPHS)
        pictures, rains = _examples(seed, samples, training.photographs, crop)
        loss = F.binary_cross_entropy_with_logits(critic(pictures), rains)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return TrainedCritic(
        critic.eval().requires_grad_(False), _accuracy(critic, held_out.photographs, seed, crop)
    )


@torch.no_grad()
def _accuracy(critic: RainCritic, photographs: Bank, seed: int, crop: int) -> float:
    pictures, rains = _examples(seed, -1 - torch.arange(HELD_OUT_CROPS), photographs, crop)
    return float(((critic(pictures) > 0) == (rains > 0.5)).float().mean())


def _examples(seed: int, samples: Tensor, photographs: Bank, crop: int) -> tuple[Tensor, Tensor]:
    """Draw photographs without and with rain, (2 B, 3, crop, crop), and labels that are 1 for rain, (2 B,)."""
    rng = SampleRng(seed, samples.to(photographs.pixels.device))
    index = rng.integer(len(photographs))
    grid = crop_grid(rng, photographs, index, rng.log_uniform(0.7, 1.5), crop)
    clean = jitter_exposure(rng, sample(photographs, index, grid))
    angle = rng.uniform(-0.6, 0.6)
    layers = [procedural_layer(rng, family, angle, (crop, crop)) for family in FAMILIES]
    pictures = torch.cat((clean, (clean + torch.stack(layers).sum(0)).clamp(0, 1)))
    return pictures, (torch.arange(len(pictures), device=pictures.device) >= len(clean)).float()

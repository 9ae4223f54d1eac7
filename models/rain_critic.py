"""A small network that tells photographs from photographs with rain: a feature space that sees rain. Ours.

A derainer's own features cannot see the rain that it misses, so the critic learns from families of streaks that
no derainer is trained on, and that judge nothing either.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.banks import Bank, TrainingData, sample
from models.camera import expose
from models.crops import crop_grid
from models.draws import Draws
from models.streaks import StreakFamily, procedural_layer

RIBBONS = StreakFamily((20.0, 60.0), (2.2, 3.4), (1e-4, 8e-4), (0.08, 0.5), flat=True)
GRAINS = StreakFamily((6.0, 14.0), (0.7, 1.1), (2e-3, 1.2e-2), (0.08, 0.5), flat=True)
FAMILIES = (RIBBONS, GRAINS)
"""Only the critic ever sees them: broad even ribbons, short sharp grains."""
WIDTHS = (16, 24, 32, 48, 64)
"""Of the five levels, finest first."""
BATCH = 16
CROP = 64
STEPS = 400
LEARNING_RATE = 2e-3
HELD_OUT_SAMPLES = 128


class RainCritic(nn.Module):
    """Five levels of convolutions, each half as fine as the one before; a logit for rain at the end."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS[:-1])
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, width, 3, stride=1 if number == 0 else 2, padding=1),
                nn.LeakyReLU(0.1),
                nn.Conv2d(width, width, 3, padding=1),
                nn.LeakyReLU(0.1),
            )
            for number, (before, width) in enumerate(zip(inputs, WIDTHS, strict=True))
        )
        self.head = nn.Linear(WIDTHS[-1], 1)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Return the features of five levels of pictures (B, 3, H, W) in [0, 1], finest first."""
        features = [pictures.float() - 0.5]
        for level in self.levels:
            features.append(level(features[-1]))
        return features[1:]

    def forward(self, pictures: Tensor) -> Tensor:
        """Return a logit a picture, (B,): above 0 it rains."""
        logits: Tensor = self.head(self.features(pictures)[-1].mean((2, 3)))
        return logits[:, 0]


@dataclass(frozen=True, slots=True)
class TrainedCritic:
    """A critic and how well it judges."""

    critic: RainCritic
    accuracy: float
    """Share of held-out photographs, half of them with rain, that it judges right."""


def train_critic(
    training: TrainingData, held_out: TrainingData, seed: int, steps: int = STEPS, crop: int = CROP
) -> TrainedCritic:
    """Train a critic on clean photographs; minutes of one core at the default number of steps.

    Parameters
    ----------
    training, held_out : TrainingData
        Only their photographs are used.
    seed : int
        The same seed gives the same critic on the same machine.
    steps : int
        Optimiser steps of 16 crops, half of them with rain.
    crop : int
        Side of the crops in pixels.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        critic = RainCritic()
    optimizer = torch.optim.AdamW(critic.parameters(), lr=LEARNING_RATE)
    for step in range(steps):
        draws = Draws(seed, torch.arange(step * BATCH, (step + 1) * BATCH))
        pictures, rains = _examples(draws, training.photographs, crop)
        loss = F.binary_cross_entropy_with_logits(critic(pictures), rains)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return TrainedCritic(
        critic.eval().requires_grad_(False), _accuracy(critic, held_out.photographs, seed, crop)
    )


@torch.no_grad()
def _accuracy(critic: RainCritic, photographs: Bank, seed: int, crop: int) -> float:
    pictures, rains = _examples(Draws(seed, -1 - torch.arange(HELD_OUT_SAMPLES)), photographs, crop)
    return float(((critic(pictures) > 0) == (rains > 0.5)).float().mean())


def _examples(draws: Draws, photographs: Bank, crop: int) -> tuple[Tensor, Tensor]:
    """Draw photographs (B, 3, crop, crop), the first half of them with rain, and which have it, (B,)."""
    index = draws.integer(len(photographs))
    grid = crop_grid(draws, photographs, index, draws.log_uniform(0.7, 1.5), crop)
    pictures = expose(draws, sample(photographs, index, grid))
    rains = (torch.arange(draws.batch) < draws.batch // 2).float()
    angle = draws.uniform(-0.6, 0.6)
    layers = torch.stack([procedural_layer(draws, family, angle, (crop, crop)) for family in FAMILIES])
    weights = draws.uniform(shape=(len(FAMILIES),)).T[:, :, None, None, None]
    return (pictures + rains[:, None, None, None] * (weights * layers).sum(0)).clamp(0, 1), rains

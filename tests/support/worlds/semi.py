"""Real rain for tests: small photographs, a bank of streaks and targets."""

from __future__ import annotations

from models.rain.banks import Bank, bank_of
from models.rain.streaks import FINE, SHEET, procedural_layer
from models.training.semi.data import RealRain, Targets
from tests.support.worlds.rainy import noise, sample_rng


def streak_layers(first: int, last: int, side: int = 64) -> Bank:
    """Return layers of upright streaks, one per number."""
    layers = [
        procedural_layer(
            sample_rng(number, number + 1), family, sample_rng(0, 1).uniform(-0.2, 0.2), (side, side)
        )
        for number in range(first, last)
        for family in (FINE, SHEET)
    ]
    return bank_of([(200 * layer[0, 0, :, :, None]).byte() for layer in layers])


def targets(seed: int = 0) -> Targets:
    """Return two photographs with others as targets, which are trusted in places."""
    return Targets(
        bank_of([noise(64, 72, 3, seed=seed), noise(70, 66, 3, seed=seed + 1)]),
        bank_of([noise(64, 72, 3, seed=seed + 2), noise(70, 66, 3, seed=seed + 3)]),
        bank_of([noise(64, 72, 1, seed=seed + 4), noise(70, 66, 1, seed=seed + 5)]),
    )


def real_rain(*, with_targets: bool = False) -> RealRain:
    """Return three unlabelled photographs of noise and a bank of streaks."""
    photographs = bank_of([noise(66, 80, 3, seed=number, low=60, high=200) for number in range(3)])
    some = targets() if with_targets else None
    held_out = targets(9) if with_targets else None
    return RealRain(photographs, streak_layers(0, 3), streak_layers(3, 4), some, held_out)

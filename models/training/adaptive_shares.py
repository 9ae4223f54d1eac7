"""Adaptive shares of a recipe (`steered_shares`): kinds of rain with a smaller lead are trained on more often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from models.rain.recipes import RainRecipe

STEERED = {
    "light": "recorded",
    "heavy": "both",
    "fine": "procedural",
    "faint": "faint",
    "drops": "drops",
}
"""Kinds of rain in validation, and the share of a recipe that trains each of them."""
SENSITIVITY = 4.0
"""Lead below the mean, in dB, that multiplies a share by e."""
MOST = 2.0
"""Largest factor by which a share is multiplied or divided before all are rescaled to the old sum."""


def steered_shares(recipe: RainRecipe, leads: Mapping[str, float]) -> dict[str, float]:
    """Return new shares of the steered kinds; the others, and the sum of all, do not change.

    Parameters
    ----------
    recipe : RainRecipe
        The shares at the start of the training: leads are always applied to these, so they do not accumulate.
    leads : mapping
        psnr_y of the network minus that of its input in dB, by kind of rain in validation.
    """
    initial = {kind: getattr(recipe, share) for kind, share in STEERED.items() if getattr(recipe, share) > 0}
    if not initial:
        return {}
    mean = fmean(leads[kind] for kind in initial)
    steered = {kind: share * _factor(mean - leads[kind]) for kind, share in initial.items()}
    scale = sum(initial.values()) / sum(steered.values())
    return {STEERED[kind]: share * scale for kind, share in steered.items()}


def _factor(behind: float) -> float:
    return min(MOST, max(1 / MOST, math.exp(behind / SENSITIVITY)))

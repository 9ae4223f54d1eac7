"""Shares of a recipe that follow the held-out lead: rain that is taken away least is trained on more often."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import fmean

from models.rain.recipes import RainRecipe

STEERED = {"light": "recorded", "heavy": "both", "fine": "procedural", "drops": "drops"}
"""Kinds of validation, and the share of a recipe that trains what each of them measures."""
SENSITIVITY = 4.0
"""dB of lead below the mean that multiply a share by e."""
MOST = 2.0
"""Largest factor by which a share is multiplied or divided, before all are rescaled to their sum."""


def steered_shares(recipe: RainRecipe, leads: Mapping[str, float]) -> dict[str, float]:
    """Return new shares of the steered kinds; the others, and the sum of all, stay as they are.

    Parameters
    ----------
    recipe : RainRecipe
        The shares that a training begins with: leads are always applied to these, so nothing adds up over time.
    leads : mapping
        By kind of validation: psnr_y of the network less that of its input, dB.
    """
    begun = {kind: getattr(recipe, share) for kind, share in STEERED.items() if getattr(recipe, share) > 0}
    if not begun:
        return {}
    mean = fmean(leads[kind] for kind in begun)
    wanted = {kind: share * _factor(mean - leads[kind]) for kind, share in begun.items()}
    scale = sum(begun.values()) / sum(wanted.values())
    return {STEERED[kind]: share * scale for kind, share in wanted.items()}


def _factor(behind: float) -> float:
    return min(MOST, max(1 / MOST, math.exp(behind / SENSITIVITY)))

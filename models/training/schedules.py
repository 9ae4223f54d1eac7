"""Schedules of a training: the learning rate (`cosine_rate`) and the decay of averaged weights (`ema_decay`)."""

from __future__ import annotations

import math


def cosine_rate(peak: float, step: int, steps: int, warm_up: int, cool_down: float) -> float:
    """Return the learning rate of a step: a linear rise, a constant part, then half a cosine to 0.

    Parameters
    ----------
    peak : float
        Learning rate of the constant part.
    step, steps : int
        Number of the step, from 0, and number of all steps.
    warm_up : int
        Number of steps until the peak is reached.
    cool_down : float
        Last share of the steps, 0 to 1, in which the rate falls.
    """
    warm = min(1.0, (step + 1) / warm_up)
    start = steps * (1 - cool_down)
    progress = max(0.0, (step - start) / max(steps - start, 1))
    return peak * warm * 0.5 * (1 + math.cos(math.pi * progress))


def ema_decay(longest: float, step: int) -> float:
    """Return the decay of the averaged weights at a step t, smaller at first: min(longest, (1 + t) / (10 + t))."""
    return min(longest, (1 + step) / (10 + step))

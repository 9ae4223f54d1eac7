"""Schedules of a training: the learning rate (`cosine_rate`) and the decay of averaged weights (`ema_decay`)."""

from __future__ import annotations

import math


def cosine_rate(peak: float, step: int, steps: int, warm_up: int, cool_down: float) -> float:
    """Learning rate: rise linearly, stay, then fall to 0 along half a cosine.

    Parameters
    ----------
    peak : float
        The rate in between.
    step, steps : int
        The step to take, from 0, and how many there are in all.
    warm_up : int
        Steps until the peak is reached.
    cool_down : float
        Share of the steps, at the end, in which the rate falls.
    """
    warm = min(1.0, (step + 1) / warm_up)
    start = steps * (1 - cool_down)
    progress = max(0.0, (step - start) / max(steps - start, 1))
    return peak * warm * 0.5 * (1 + math.cos(math.pi * progress))


def ema_decay(longest: float, step: int) -> float:
    """Share of the average that a step keeps: a short memory first, min(longest, (1 + t) / (10 + t))."""
    return min(longest, (1 + step) / (10 + step))

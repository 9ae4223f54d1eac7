"""Latency ratios of two networks (`latency_ratios`), measured alternately under the same load."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models.images import RgbBatch

Derain = Callable[[RgbBatch], RgbBatch]

ROUNDS = 12
REPEATS = 3
"""Passes of each network per round, of which the shortest counts, because other processes only slow them down."""


def latency_ratios(
    champion: Derain,
    challenger: Derain,
    photographs: Sequence[RgbBatch],
    clock: Callable[[], float] = time.perf_counter,
) -> npt.NDArray[np.float64]:
    """Return seconds of the challenger / seconds of the champion, (rounds,).

    Parameters
    ----------
    champion, challenger : callable
        Maps (1, H, W, 3) uint8 to the same shape and type.
    photographs : sequence of ndarray
        Used in turns; at least one.
    clock : callable
        Returns the time in seconds.
    """
    for derain in (champion, challenger):  # warm-up: the first pass of a network also prepares its kernels
        derain(photographs[0])
    ratios = []
    for number, photograph in zip(range(ROUNDS), itertools.cycle(photographs), strict=False):
        seconds = {champion: float("inf"), challenger: float("inf")}
        order = (champion, challenger) if number % 2 else (challenger, champion)
        for derain in order * REPEATS:
            started = clock()
            derain(photograph)
            seconds[derain] = min(seconds[derain], clock() - started)
        ratios.append(seconds[challenger] / seconds[champion])
    return np.array(ratios)

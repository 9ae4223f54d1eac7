from __future__ import annotations

import numpy as np
import pytest

from models.images import RgbBatch
from tasks.promotion.latency import REPEATS, ROUNDS, latency_ratios


class Machine:
    """A clock, and networks that take time on it; sometimes another process takes time too."""

    def __init__(self) -> None:
        self.now = 0.0
        self.passes: list[str] = []

    def network(self, name: str, seconds: float):
        def derain(photograph: RgbBatch) -> RgbBatch:
            self.passes.append(name)
            self.now += seconds * photograph.size + (10.0 if len(self.passes) % 7 == 0 else 0.0)
            return photograph

        return derain


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_ratio_is_that_of_the_seconds_whatever_comes_between(factor: float):
    machine = Machine()
    photographs = [np.zeros((1, 4, side, 3), np.uint8) for side in (4, 8)]
    champion, challenger = machine.network("champion", 0.01), machine.network("challenger", 0.01 * factor)
    ratios = latency_ratios(champion, challenger, photographs, lambda: machine.now)
    assert ratios == pytest.approx(np.full(ROUNDS, factor))
    assert machine.passes.count("champion") == machine.passes.count("challenger") == 1 + ROUNDS * REPEATS
    measured = machine.passes[2:]
    assert all(measured[at] != measured[at + 1] for at in range(0, len(measured), 2))
    assert set(measured[:: 2 * REPEATS]) == {"champion", "challenger"}  # each is first in some rounds

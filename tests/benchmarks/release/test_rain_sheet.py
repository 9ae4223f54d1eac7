from __future__ import annotations

import torch

from benchmarks.release.rain_sheet import ladder
from models.rain.recipes import RECIPES
from tests.support.worlds.rainy import sample_rng, small_world


def test_a_ladder_is_the_same_rain_growing():
    rungs = ladder(small_world(), sample_rng(0, 1), RECIPES["heavy"], 0, (0.25, 0.5, 1.0))
    assert all(torch.equal(rung.clean, rungs[0].clean) for rung in rungs)
    torch.testing.assert_close(rungs[1].streaks, 2 * rungs[0].streaks)
    torch.testing.assert_close(rungs[0].rainy, (rungs[0].clean + rungs[0].streaks).clamp(max=1))
    harm = [(rung.rainy - rung.clean).square().mean() for rung in rungs]
    assert harm[0] < harm[1] < harm[2]

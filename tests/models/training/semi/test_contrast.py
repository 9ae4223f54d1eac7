from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from models.training.semi.contrast import (
    LEAST_DISTANCE,
    LEVEL_WEIGHTS,
    TEMPERATURE,
    StreakContrast,
    background_ratio,
    info_nce,
    normalised,
)
from tests.support.samples.networks import rainy_pair
from tests.support.worlds.rainy import sample_rng


def test_info_nce_is_its_formula():
    generator = torch.Generator().manual_seed(0)
    anchors, positives, negatives = (
        F.normalize(torch.randn(*shape, generator=generator), dim=-1)
        for shape in ((2, 3, 8), (2, 4, 8), (5, 8))
    )
    found = info_nce(anchors, positives, negatives)
    anchor = anchors[1, 2]
    far = sum(math.exp(float(anchor @ each) / TEMPERATURE) for each in negatives)
    near = [math.exp(float(anchor @ each) / TEMPERATURE) for each in positives[1]]
    assert float(found[1, 2]) == pytest.approx(sum(-math.log(p / (p + far)) for p in near) / 4, rel=1e-4)


def test_patches_have_unit_variance_and_flat_ones_stay_flat():
    patches = normalised(torch.stack((torch.arange(16.0), torch.full((16,), 0.3))))
    assert patches.var(-1).tolist() == pytest.approx([1, 0], abs=1e-3)


def test_streak_contrast_draws_rain_to_rain():
    """The gradient reaches the rain layer and the head, and training lowers the term."""
    torch.manual_seed(0)
    contrast, pair = StreakContrast(), rainy_pair(64, 64, 2)
    real = pair.streaks.flip(-1)
    left = torch.full((), 0.3, requires_grad=True)  # share of the rain that is left
    optimizer = torch.optim.Adam(contrast.parameters(), 3e-3)
    curve = []
    for _ in range(30):
        derained = pair.clean + left * (pair.rainy - pair.clean)
        loss = contrast(sample_rng(0, 2), derained, pair.rainy, real)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    assert curve[-1] < 0.5 * curve[0]
    assert left.grad != 0


def test_photographs_without_rain_are_left_out():
    pair = rainy_pair(64, 64, 2)
    assert StreakContrast()(sample_rng(0, 2), pair.clean, pair.clean, pair.streaks) == 0


def test_the_ratio_is_its_formula():
    anchor, positive, negative = ([torch.full((1, 2, 4, 4), value)] * 5 for value in (0.5, 0.6, 0.1))
    found = background_ratio(anchor, positive, negative)
    assert found.tolist() == pytest.approx([sum(LEVEL_WEIGHTS) * 0.1 / 0.4])


def test_light_rain_does_not_let_the_ratio_explode():
    anchor, positive = ([torch.full((1, 2, 4, 4), value)] * 5 for value in (0.5, 0.6))
    assert float(background_ratio(anchor, positive, anchor)) == pytest.approx(
        sum(LEVEL_WEIGHTS) * 0.1 / LEAST_DISTANCE
    )

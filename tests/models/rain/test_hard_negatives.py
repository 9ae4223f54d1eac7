from __future__ import annotations

import pytest
import torch

from models.rain import hard_negatives
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import sample_rng


@pytest.mark.parametrize("draw", [hard_negatives.strands, hard_negatives.dots, hard_negatives.grating])
def test_clutter_stays_in_range_and_does_not_depend_on_the_batch(draw):
    pictures = random_pictures(8, 3, 48, 64)
    changed = draw(sample_rng(0, 8), pictures)
    assert 0 <= changed.min() < changed.max() <= 1
    assert (changed != pictures).flatten(1).any(1).sum() >= 6  # sparse detail may miss a small picture
    torch.testing.assert_close(draw(sample_rng(5, 6), pictures[5:6]), changed[5:6], atol=1e-6, rtol=0)


def test_strands_darken_or_colour():
    pictures = torch.full((16, 3, 48, 64), 0.7)
    assert hard_negatives.strands(sample_rng(0, 16), pictures).max() <= 0.7 + 1e-6


def test_gratings_repeat():
    lines = hard_negatives.grating(sample_rng(0, 16), torch.zeros(16, 3, 96, 96))
    spectrum = torch.fft.rfft2(lines[:, 0] - lines[:, 0].mean((1, 2), keepdim=True)).abs().flatten(1)
    assert (spectrum.amax(1) > 12 * spectrum.median(1).values).all()

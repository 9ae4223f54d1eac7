from __future__ import annotations

import torch

from models.rain.banks import bank_of
from models.rain.real_streaks import GAIN, MOST_LAYERS, TURN, real_streaks, rerained
from models.rain.streaks import NEEDLES, procedural_layer
from models.structure_tensor import structure_tensor
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import noise, sample_rng

BANK = bank_of([noise(40, 50, 1, low=0, high=30), noise(64, 64, 1, seed=1, low=0, high=30)])


def test_real_streaks_brighten_clean_photographs_and_nothing_else():
    clean = random_pictures(6, 3, 24, 32)
    pair = rerained(sample_rng(0, 6), BANK, clean)
    assert torch.equal(pair.clean, clean)
    assert torch.equal(pair.rainy, (clean + pair.streaks).clamp(max=1))
    assert pair.streaks.shape == (6, 1, 24, 32)
    assert (pair.streaks.mean((1, 2, 3)) > 0).all()
    assert pair.streaks.max() <= min(1, MOST_LAYERS * GAIN[1] * 30 / 255)


def test_a_sample_gets_the_same_streaks_in_any_batch():
    whole = real_streaks(sample_rng(0, 6), BANK, (24, 32))
    torch.testing.assert_close(real_streaks(sample_rng(2, 4), BANK, (24, 32)), whole[2:4])
    assert not torch.equal(whole[0], whole[1])


def test_streaks_keep_about_their_direction():
    """Upright streaks are turned by at most 30 degrees, and mirrored."""
    layer = procedural_layer(sample_rng(3, 4), NEEDLES, torch.zeros(1), (128, 128))[0, 0]
    bank = bank_of([(255 * layer).to(torch.uint8)[..., None]])
    tensor = structure_tensor(real_streaks(sample_rng(0, 20), bank, (64, 64))[:, 0])
    angles = -0.5 * torch.atan2(tensor.cross.sum((1, 2)), tensor.along.sum((1, 2)))
    assert angles.abs().max() < TURN + 0.1
    assert angles.min() < -0.2
    assert angles.max() > 0.2

from __future__ import annotations

import torch

from models.rain.lens_drops import on_the_lens
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import sample_rng


def test_the_photograph_changes_only_within_drops():
    clean = random_pictures(8, 3, 64, 80)
    rainy, opacity = on_the_lens(sample_rng(0, 8), clean)
    assert opacity.shape == (8, 1, 64, 80)
    assert 0 <= opacity.min() < opacity.max() <= 1
    clear = opacity == 0
    assert torch.equal(rainy * clear, clean * clear)
    assert (rainy - clean).abs().mul(opacity > 0.5).amax((1, 2, 3)).gt(0.05).all()


def test_a_drop_shows_the_scene_upside_down():
    """The sky is above the ground, but below it within the drops."""
    scene = torch.linspace(1, 0, 96)[:, None].expand(12, 3, 96, 96).contiguous()
    rainy, opacity = on_the_lens(sample_rng(0, 12), scene)
    inside = opacity[:, 0] > 0.99
    step = rainy[:, 0, 1:] - rainy[:, 0, :-1]
    both = inside[:, 1:] & inside[:, :-1]
    assert step[both].median() > 0 > (scene[:, 0, 1:] - scene[:, 0, :-1]).max()


def test_the_same_sample_has_the_same_drops_in_any_company():
    clean = random_pictures(4, 3, 64, 64)
    together, _ = on_the_lens(sample_rng(0, 4), clean)
    alone, _ = on_the_lens(sample_rng(2, 3), clean[2:3])
    torch.testing.assert_close(together[2:3], alone, atol=1e-6, rtol=0)

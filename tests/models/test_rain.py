from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.banks import bank_of
from models.pairs import RainyPair
from models.rain import RECIPES, RainRecipe, training_pairs, whole_pair
from tests.rainy_worlds import draws, noise, small_world

WORLD = small_world()
PLAIN = [name for name, recipe in RECIPES.items() if not recipe.camera]


def pairs(recipe: RainRecipe, first: int, last: int, seed: int = 1, size: int = 32) -> RainyPair:
    return training_pairs(WORLD, draws(first, last, seed), recipe, size)


def rains(pair: RainyPair) -> Tensor:
    """Which samples have any rain."""
    return (pair.rainy != pair.clean).flatten(1).any(1)


@pytest.mark.parametrize("recipe", list(RECIPES))
@pytest.mark.parametrize("part", [1, 2, 4])
def test_a_sample_has_the_same_rain_in_any_batch(recipe, part):
    whole = pairs(RECIPES[recipe], 0, 8)
    parts = [pairs(RECIPES[recipe], first, first + part) for first in range(0, 8, part)]
    for side in ("rainy", "clean"):
        joined = torch.cat([getattr(pair, side) for pair in parts])
        torch.testing.assert_close(joined, getattr(whole, side), atol=1e-6, rtol=0)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_same_batch_is_the_same_bits(recipe):
    first, again = (pairs(RECIPES[recipe], 0, 8) for _ in range(2))
    assert torch.equal(first.rainy, again.rainy)
    assert torch.equal(first.clean, again.clean)


@pytest.mark.parametrize("recipe", RECIPES)
def test_other_seeds_and_samples_give_other_pairs(recipe):
    first = pairs(RECIPES[recipe], 0, 4)
    for other in (pairs(RECIPES[recipe], 0, 4, seed=2), pairs(RECIPES[recipe], 4, 8)):
        assert (first.rainy != other.rainy).flatten(1).any(1).all()


@pytest.mark.parametrize("recipe", RECIPES)
def test_pairs_are_in_range(recipe):
    pair = pairs(RECIPES[recipe], 0, 16)
    assert pair.rainy.shape == pair.clean.shape == (16, 3, 32, 32)
    for side in (pair.rainy, pair.clean):
        assert side.min() >= 0
        assert side.max() <= 1


def test_recorded_rain_is_clean_plus_layer():
    for photo in (0, 1):
        pair = whole_pair(WORLD, draws(0, 1), RECIPES["light"], photo)
        clean, layer = WORLD.photographs.picture(photo), WORLD.layers.picture(photo)
        height, width = (extent // 8 * 8 for extent in clean.shape[-2:])
        assert torch.equal(pair.clean[0], clean[:, :height, :width])
        assert torch.equal(pair.rainy[0], (clean + layer).clamp(max=1)[:, :height, :width])


def test_recorded_crops_are_clean_plus_the_layer_of_the_same_place():
    pair = pairs(RECIPES["light"], 0, 12)
    assert rains(pair).all()
    for clean, rainy in zip(pair.clean, pair.rainy, strict=True):
        crops = [crop for photo in (0, 1) for crop in placed(clean, photo)]
        assert len(crops) == 1  # found once, at whole pixels, mirrored or not
        assert torch.equal(rainy, (clean + crops[0]).clamp(max=1))


def placed(clean: Tensor, photo: int) -> list[Tensor]:
    """The pieces of a photograph's recorded layer at the places where the photograph equals a crop."""
    found = []
    for flip in (False, True):
        photograph, layer = WORLD.photographs.picture(photo), WORLD.layers.picture(photo)
        if flip:
            photograph, layer = photograph.flip(2), layer.flip(2)
        windows = photograph.unfold(1, 32, 1).unfold(2, 32, 1)
        same = (windows == clean[:, None, None]).all(0).flatten(2).all(2)
        found += [layer[:, y : y + 32, x : x + 32] for y, x in same.nonzero().tolist()]
    return found


def test_a_photograph_without_a_layer_gets_bank_rain():
    world = replace(WORLD, layer_of=torch.full((3,), -1))
    pair = training_pairs(world, draws(0, 8), replace(RECIPES["mixed"], recorded=1.0), 32)
    assert rains(pair).all()


def test_shares_of_the_kinds():
    recipe = RECIPES["mixed"]
    pair = pairs(recipe, 0, 600, size=48)
    identity = 1 - recipe.recorded - recipe.bank - recipe.procedural - recipe.both
    assert (~rains(pair)).double().mean().item() == pytest.approx(identity, abs=0.035)  # three sigma


def test_no_rain_is_the_photograph_itself():
    pair = whole_pair(WORLD, draws(0, 1), RECIPES["none"], 2)
    assert torch.equal(pair.rainy, pair.clean)
    assert torch.equal(pair.clean[0], WORLD.photographs.picture(2)[:, :64, :72])


def test_the_camera_does_the_same_to_both_sides():
    grey = bank_of([torch.full((64, 64, 3), 120, dtype=torch.uint8)])
    world = replace(WORLD, photographs=grey, layer_of=torch.tensor([-1]))
    identity = RainRecipe(recorded=0, bank=0, procedural=0, both=0)
    pair = training_pairs(world, draws(0, 64), identity, 32)
    assert torch.equal(pair.rainy, pair.clean)
    noisy = pair.clean.std((1, 2, 3)) > 0.001
    assert 0.2 < noisy.double().mean() < 0.95  # so there was something to do the same


def test_noise_and_jpeg_leave_no_streaks_where_there_is_no_rain():
    """Dark layers of the bank: rain of nothing, yet the whole path is run."""
    dark = bank_of([torch.zeros(64, 64, 1, dtype=torch.uint8)])
    recipe = RainRecipe(recorded=0, bank=1.0, procedural=0, both=0)
    pair = training_pairs(replace(WORLD, streaks=dark), draws(0, 24), recipe, 32)
    assert not rains(pair).any()


@pytest.mark.parametrize("kind", ["bank", "procedural", "both"])
def test_rendered_rain_brightens(kind):
    shares = dict.fromkeys(("recorded", "bank", "procedural", "both"), 0.0) | {kind: 1.0}
    dark = bank_of([noise(64, 64, 3, high=60)])
    world = replace(WORLD, photographs=dark, layer_of=torch.tensor([-1]))
    pair = training_pairs(world, draws(0, 16), RainRecipe(**shares, camera=False), 64)
    assert rains(pair).all()
    assert ((pair.rainy - pair.clean).mean((1, 2, 3)) > 0).all()


def test_crops_larger_than_a_photograph_are_mirrored():
    pair = pairs(RECIPES["light"], 0, 2, size=128)
    assert pair.clean.shape == (2, 3, 128, 128)
    assert torch.isfinite(pair.rainy).all()

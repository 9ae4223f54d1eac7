from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from models.pairs import RainyPair
from models.rain.banks import bank_of
from models.rain.recipes import HELD_OUT_RECIPES, RECIPES, RainRecipe
from models.rain.streaks import SPLASH
from models.rain.synthesis import training_pairs, whole_pair
from tests.support.worlds.rainy import noise, sample_rng, small_world

WORLD = small_world()
ALL_RECIPES = RECIPES | HELD_OUT_RECIPES


def pairs(recipe: RainRecipe, first: int, last: int, seed: int = 1, size: int = 32) -> RainyPair:
    return training_pairs(WORLD, sample_rng(first, last, seed), recipe, size)


def rains(pair: RainyPair) -> Tensor:
    """Return which samples have any rain."""
    return (pair.rainy != pair.clean).flatten(1).any(1)


@pytest.mark.parametrize("recipe", ALL_RECIPES)
@pytest.mark.parametrize("part", [1, 2, 4])
def test_a_sample_has_the_same_rain_in_any_batch(recipe, part):
    whole = pairs(ALL_RECIPES[recipe], 0, 8)
    parts = [pairs(ALL_RECIPES[recipe], first, first + part) for first in range(0, 8, part)]
    for side in ("rainy", "clean", "streaks"):
        joined = torch.cat([getattr(pair, side) for pair in parts])
        torch.testing.assert_close(joined, getattr(whole, side), atol=1e-6, rtol=0)


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_the_same_batch_is_the_same_bits(recipe):
    first, again = (pairs(ALL_RECIPES[recipe], 0, 8) for _ in range(2))
    assert torch.equal(first.rainy, again.rainy)
    assert torch.equal(first.clean, again.clean)


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_other_seeds_and_samples_give_other_pairs(recipe):
    first = pairs(ALL_RECIPES[recipe], 0, 4)
    for other in (pairs(ALL_RECIPES[recipe], 0, 4, seed=2), pairs(ALL_RECIPES[recipe], 4, 8)):
        assert (first.rainy != other.rainy).flatten(1).any(1).all()


@pytest.mark.parametrize("recipe", ALL_RECIPES)
def test_pairs_are_in_range(recipe):
    pair = pairs(ALL_RECIPES[recipe], 0, 16)
    assert pair.rainy.shape == pair.clean.shape == (16, 3, 32, 32)
    assert pair.streaks.shape == (16, 1, 32, 32)
    for side in (pair.rainy, pair.clean, pair.streaks):
        assert side.min() >= 0
        assert side.max() <= 1


def test_recorded_rain_is_clean_plus_layer():
    for photo in (0, 1):
        pair = whole_pair(WORLD, sample_rng(0, 1), RECIPES["light"], photo)
        clean, layer = WORLD.photographs.picture(photo), WORLD.layers.picture(photo)
        height, width = (extent // 8 * 8 for extent in clean.shape[-2:])
        assert torch.equal(pair.clean[0], clean[:, :height, :width])
        assert torch.equal(pair.rainy[0], (clean + layer).clamp(max=1)[:, :height, :width])


def test_recorded_crops_are_clean_plus_their_own_layer_or_another_one():
    pair = pairs(RECIPES["light"], 0, 24)
    assert rains(pair).all()
    assert torch.equal(pair.rainy, (pair.clean + pair.streaks).clamp(max=1))
    crops = [[crop for photo in (0, 1) for crop in placed(clean, photo)] for clean in pair.clean]
    of_the_same_place = [
        len(found) == 1 and torch.equal(found[0], streaks)  # at whole pixels, mirrored or not
        for found, streaks in zip(crops, pair.streaks, strict=True)
    ]
    assert 5 <= sum(of_the_same_place) <= 19


def placed(clean: Tensor, photo: int) -> list[Tensor]:
    """Return the parts of a photograph's recorded layer where the photograph equals a crop."""
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
    pair = training_pairs(world, sample_rng(0, 8), replace(RECIPES["mixed"], recorded=1.0), 32)
    assert rains(pair).all()


def test_shares_of_the_kinds():
    recipe = RECIPES["mixed"]
    pair = pairs(recipe, 0, 600, size=48)
    identity = 1 - sum(recipe.shares)
    assert (~rains(pair)).double().mean().item() == pytest.approx(identity, abs=0.04)  # three sigma


def test_no_rain_is_the_photograph_itself():
    pair = whole_pair(WORLD, sample_rng(0, 1), RECIPES["none"], 2)
    assert torch.equal(pair.rainy, pair.clean)
    assert torch.equal(pair.clean[0], WORLD.photographs.picture(2)[:, :64, :72])


def test_the_camera_does_the_same_to_both_sides():
    grey = bank_of([torch.full((64, 64, 3), 120, dtype=torch.uint8)])
    world = replace(WORLD, photographs=grey, layer_of=torch.tensor([-1]))
    pair = training_pairs(world, sample_rng(0, 64), RainRecipe(camera=True), 32)
    assert torch.equal(pair.rainy, pair.clean)
    noisy = pair.clean.std((1, 2, 3)) > 0.001
    assert 0.2 < noisy.double().mean() < 0.95  # so the comparison is not trivial


def test_a_veil_is_on_the_rainy_side_alone_where_it_is_to_be_removed():
    grey = bank_of([torch.full((64, 64, 3), 60, dtype=torch.uint8)])
    world = replace(WORLD, photographs=grey, layer_of=torch.tensor([-1]))
    pair = training_pairs(world, sample_rng(0, 16), RainRecipe(veil=True), 32)
    assert ((pair.rainy - pair.clean).mean((1, 2, 3)) > 0).all()
    assert torch.equal(pair.clean, torch.full_like(pair.clean, 60 / 255))


def test_drops_on_the_lens_hide_parts_and_leave_the_rest():
    pair = training_pairs(WORLD, sample_rng(0, 24), RainRecipe(drops=1.0), 64)
    assert rains(pair).all()
    untouched = pair.streaks == 0
    assert torch.equal((pair.rainy * untouched), (pair.clean * untouched))
    assert 0.02 < (~untouched).double().mean() < 0.7


def test_noise_and_jpeg_leave_no_streaks_outside_rain():
    """Dark layers of the bank add no rain, but run the whole path."""
    dark = bank_of([torch.zeros(64, 64, 1, dtype=torch.uint8)])
    recipe = RainRecipe(bank=1.0, camera=True)
    pair = training_pairs(replace(WORLD, streaks=dark), sample_rng(0, 24), recipe, 32)
    assert not rains(pair).any()


@pytest.mark.parametrize("kind", ["bank", "procedural", "both"])
def test_rendered_rain_brightens(kind):
    dark = bank_of([noise(64, 64, 3, high=60)])
    world = replace(WORLD, photographs=dark, layer_of=torch.tensor([-1]))
    pair = training_pairs(world, sample_rng(0, 16), RainRecipe(**{kind: 1.0}), 64)
    assert rains(pair).all()
    assert ((pair.rainy - pair.clean).mean((1, 2, 3)) > 0).all()


def test_families_for_judging_are_set_aside():
    """The range of length or width of each family lies outside that of every family for training."""
    trained = {family for recipe in RECIPES.values() for family, _ in recipe.families} | {SPLASH}
    for recipe in HELD_OUT_RECIPES.values():
        for held_out, _ in recipe.families:
            for family in trained:
                assert apart(held_out.length, family.length) or apart(held_out.width, family.width)


def apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[1] < other[0] or other[1] < one[0]


def test_crops_larger_than_a_photograph_are_mirrored():
    pair = pairs(RECIPES["light"], 0, 2, size=128)
    assert pair.clean.shape == (2, 3, 128, 128)
    assert torch.isfinite(pair.rainy).all()

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.rain import recipes, streaks
from models.rain.banks import load_training_data
from models.training.semi.rain_critic import FAMILIES, RainCritic, train_critic
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import write_training_folder


def test_features_of_five_levels_each_half_as_fine():
    features = RainCritic().features(random_pictures(2, 3, 32, 48))
    assert [level.shape[-2:] for level in features] == [(32, 48), (16, 24), (8, 12), (4, 6), (2, 3)]


def test_its_rain_families_are_used_neither_in_training_nor_in_judging():
    trained = {family for recipe in recipes.RECIPES.values() for family, _ in recipe.families}
    judging = {streaks.COARSE, streaks.SLEET, streaks.NEEDLES}
    assert not {*FAMILIES} & (trained | judging)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


def test_a_critic_recognises_rain_on_photographs_that_it_never_saw(data: Path):
    training, held_out = (load_training_data(data, held_out=each) for each in (False, True))
    untrained, trained = (
        train_critic(training, held_out, seed=1, steps=steps, crop=32) for steps in (0, 120)
    )
    assert untrained.accuracy == pytest.approx(0.5, abs=0.06)
    assert trained.accuracy > 0.6
    assert not any(parameter.requires_grad for parameter in trained.critic.parameters())


def test_the_same_seed_gives_the_same_critic(data: Path):
    training = load_training_data(data, held_out=False)
    first, second = (train_critic(training, training, seed=3, steps=2, crop=32) for _ in range(2))
    assert torch.equal(first.critic.head.weight, second.critic.head.weight)

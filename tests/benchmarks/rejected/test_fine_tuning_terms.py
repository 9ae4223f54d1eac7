"""The rejected terms compute the same as when the ablation measured them, and change no term in use."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks.rejected.fine_tuning_terms import (
    AblationConfig,
    MeanTeacher,
    SemiSupervisedAblation,
    consistency_rampup,
    identity_loss_outside_rain,
    rain_mask,
)
from models.networks.base import Network
from models.pairs import FAINTEST_RAIN
from models.rain.recipes import RECIPES
from models.rain.synthesis import training_pairs
from models.rng import SampleRng
from models.training.config import TrainConfig
from models.training.semi.rain_critic import RainCritic
from tests.support.samples.networks import rainy_pair, random_network
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import small_world
from tests.support.worlds.semi import real_rain, targets

TRAIN = TrainConfig(preset="student-tiny", steps=4, batch=4, crop=48, precision="32-true")
REJECTED = {"anchor": 0.1, "pseudo_label": 0.5, "rain_on_rain": 0.2, "mean_teacher": 0.2}


def terms_of(config: AblationConfig, network: Network, step: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    critic = RainCritic().eval().requires_grad_(False)
    start = random_network("student-tiny")
    objective = SemiSupervisedAblation(config, real_rain(with_targets=True), start, critic, targets())
    samples = torch.arange(4 * step, 4 * step + 4)
    pair = training_pairs(small_world(), SampleRng(1, samples), RECIPES["heavy"], TRAIN.crop)
    return objective(network, TRAIN, step, pair)


def test_rejected_terms_reach_the_network_and_change_no_other_term():
    network = random_network("student-tiny").train().requires_grad_(True)
    in_use = terms_of(AblationConfig(), network, step=3)
    terms = terms_of(AblationConfig(**REJECTED), network, step=3)
    assert terms.keys() == in_use.keys() | REJECTED.keys()
    assert all(torch.equal(term, terms[name]) for name, term in in_use.items())
    for name in REJECTED.keys() - {"anchor"}:  # random weights find rain everywhere, and hold nothing
        gradients = torch.autograd.grad(terms[name], list(network.parameters()), retain_graph=True)
        assert all(gradient.any() for gradient in gradients), name


def test_a_teacher_follows_by_its_decay():
    teacher, network = MeanTeacher(random_network("student-tiny", 1)), random_network("student-tiny", 2)
    before, towards = teacher.network.stem.weight.clone(), network.stem.weight
    teacher.follow(network, 0.75)
    torch.testing.assert_close(teacher.network.stem.weight, 0.75 * before + 0.25 * towards)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_statistics_of_norms_are_taken_over():
    start, network = (nn.Sequential(nn.BatchNorm2d(3)) for _ in range(2))
    network(random_pictures(2, 3, 8, 8))
    teacher = MeanTeacher(start)
    teacher.follow(network, 0.5)
    assert torch.equal(teacher.network[0].running_mean, network[0].running_mean)


class FindsThin(nn.Module):
    """Removes structures thinner than five pixels, as networks trained on thin rain do."""

    def forward(self, rainy):
        lowest = -nn.functional.max_pool2d(-rainy, 5, 1, 2)
        return nn.functional.max_pool2d(lowest, 5, 1, 2)


def test_a_teacher_finds_more_in_shrunk_photographs():
    rainy = torch.full((1, 3, 64, 64), 0.3)
    rainy[..., 10:14] += 0.4
    rainy[..., 36:43] += 0.4
    teacher = MeanTeacher(FindsThin())
    full_size, several = teacher(rainy), teacher(rainy, (1.0, 0.75, 0.5))
    assert torch.equal(teacher(rainy, (1.0,)), full_size)
    assert (several <= full_size + 1e-6).all()
    assert full_size[..., 10:14].max() == pytest.approx(0.3)  # four pixels: removed at full size
    assert full_size[..., 36:43].min() == pytest.approx(0.7)  # seven: left
    assert several[0, :, 20:44, 39].max() < 0.45


def test_trust_grows_from_little_to_all():
    levels = [consistency_rampup(step, 100) for step in (0, 50, 100, 150)]
    assert levels == pytest.approx([0.0067, 0.2865, 1, 1], abs=1e-4)
    assert consistency_rampup(0, 0) > 0


def test_the_anchor_holds_the_background_and_lets_rain_go():
    pair = rainy_pair(32, 32)
    mask = rain_mask(pair.clean, pair.rainy)
    assert (mask[pair.streaks > FAINTEST_RAIN] == 1).all()
    assert identity_loss_outside_rain(pair.clean, pair.rainy) == 0
    darker = (pair.clean - 2 / 255).requires_grad_()
    rainy = pair.clean.clone()
    rainy[..., :8] += 0.5
    loss = identity_loss_outside_rain(darker, rainy)
    loss.backward()
    assert 0 < loss < 2.1 / 255
    assert not darker.grad[..., :8].any()
    assert darker.grad[..., 16:].all()

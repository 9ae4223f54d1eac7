from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.losses import psnr_term
from models.pairs import FAINTEST_RAIN
from models.training.semi.mean_teacher import (
    MeanTeacher,
    confident,
    found_rain,
    identity_loss_outside_rain,
    trust,
)
from tests.support.samples.networks import rainy_pair, random_network
from tests.support.samples.students import random_pictures


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
    """Takes away what is thinner than five pixels, as networks trained on thin rain do."""

    def forward(self, rainy):
        lowest = -nn.functional.max_pool2d(-rainy, 5, 1, 2)
        return nn.functional.max_pool2d(lowest, 5, 1, 2)


def test_a_teacher_finds_more_in_shrunk_photographs():
    rainy = torch.full((1, 3, 64, 64), 0.3)
    rainy[..., 10:14] += 0.4
    rainy[..., 36:43] += 0.4
    teacher = MeanTeacher(FindsThin())
    alone, several = teacher(rainy), teacher(rainy, (1.0, 0.75, 0.5))
    assert torch.equal(teacher(rainy, (1.0,)), alone)
    assert (several <= alone + 1e-6).all()
    assert alone[..., 10:14].max() == pytest.approx(0.3)  # four pixels: gone at full size
    assert alone[..., 36:43].min() == pytest.approx(0.7)  # seven: left
    assert several[0, :, 20:44, 39].max() < 0.45


def test_trust_grows_from_little_to_all():
    levels = [trust(step, 100) for step in (0, 50, 100, 150)]
    assert levels == pytest.approx([0.0067, 0.2865, 1, 1], abs=1e-4)
    assert trust(0, 0) > 0


def test_confidence_weighs_every_pixel():
    derained, target = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.7)
    confidence = torch.zeros(1, 1, 4, 4)
    assert confident(derained, target, confidence) == 0
    confidence[..., :2] = 1
    target[..., 2:] = 0  # nobody trusts it there
    trusted = psnr_term(derained[..., :2], target[..., :2])
    assert float(confident(derained, target, confidence)) == pytest.approx(0.5 * float(trusted))


def test_the_anchor_holds_the_background_and_lets_rain_go():
    pair = rainy_pair(32, 32)
    mask = found_rain(pair.clean, pair.rainy)
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

from __future__ import annotations

import pytest
import torch

from benchmarks.common.brief_training import Budget, trained
from benchmarks.learning.afr_hosts import hosts
from models.networks.architectures import build_network, preset
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import small_world


@pytest.mark.parametrize(
    ("budget", "least", "most"),
    [(Budget(steps=3, batch=2, crop=32), 3, 3), (Budget(0.3, batch=2, crop=32), 1, 99)],
)
def test_training_ends_when_its_budget_is_used_up(budget, least, most):
    network, steps = trained(build_network(preset("student-tiny")), "tiny", small_world(), budget)
    assert least <= steps <= most
    rainy = random_pictures(1, 3, 16, 16)
    assert not torch.equal(network(rainy), rainy)


def test_each_host_stands_without_and_with_afr():
    names = [(name, rounds > 0) for name, rounds, _ in hosts()]
    assert names == [(name, there) for name in ("AFR-Net", "U-Net", "DRD-Net") for there in (False, True)]
    for _, rounds, config in hosts():
        assert getattr(config, "afr_rounds", getattr(config, "rounds", None)) == rounds

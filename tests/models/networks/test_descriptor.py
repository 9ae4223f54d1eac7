from __future__ import annotations

import pytest
import torch
from torch import nn

from models.networks.descriptor import count_gmac, count_parameters, describe
from models.networks.drd_net import PRESETS, DrdNet, DrdNetConfig
from models.networks.student import Student, StudentConfig
from tests.support.samples.networks import random_network

PIXELS = 32 * 32


class Rescaled(nn.Module):
    """A network with convolutions of every kind, each used once except for one that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = nn.Conv2d(3, 8, 3, padding=1, stride=2)
        self.depthwise = nn.Conv2d(8, 8, 5, padding=2, groups=8)
        self.grouped = nn.ConvTranspose2d(8, 6, 2, stride=2, groups=2)
        self.gate = nn.Linear(6, 6)

    def forward(self, rainy: torch.Tensor) -> torch.Tensor:
        features = self.depthwise(self.depthwise(self.strided(rainy)))
        features = self.grouped(features)
        return features * self.gate(features.mean((2, 3)))[:, :, None, None]


def test_multiplications_are_counted_by_their_formulas():
    expected = PIXELS / 4 * (8 * 3 * 9) + 2 * PIXELS / 4 * (8 * 25) + PIXELS / 4 * (8 * 3 * 4) + 36
    assert count_gmac(Rescaled(), 32) == pytest.approx(expected / 1e9, rel=1e-9)


def test_counting_leaves_the_network_as_it_is():
    network = DrdNet(DrdNetConfig(width=4, rain_blocks=1, detail_blocks=1)).to(torch.bfloat16)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert count_gmac(network, 16) > 0
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_descriptor_says_what_the_sizes_say():
    student, drd_net = describe(random_network("student-tiny")), describe(random_network("drd-net-tiny"))
    assert (student.architecture, student.global_operation) == ("student", False)
    assert (student.size_multiple, student.receptive_radius) == (8, 51)
    assert (drd_net.architecture, drd_net.global_operation) == ("drd-net", True)
    assert (drd_net.size_multiple, drd_net.receptive_radius) == (2, PRESETS["tiny"].receptive_radius)


def test_a_descriptor_counts_at_512():
    sizes = StudentConfig(widths=(8, 8, 8), encoder_blocks=(0, 0), middle_blocks=0, decoder_blocks=(0, 0))
    fine, mid, coarse = ((512 // side) ** 2 for side in (2, 4, 8))
    expected = fine * 2 * 12 * 8 * 9 + (mid + coarse) * 8 * 8 * 4 + (coarse + mid) * 8 * 32
    assert describe(Student(sizes)).gmac == pytest.approx(expected / 1e9, abs=5e-4)


def test_statistics_of_batch_norm_are_not_parameters():
    assert count_parameters(nn.BatchNorm2d(8)) == 16

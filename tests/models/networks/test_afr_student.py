from __future__ import annotations

import pytest
import torch

from models.networks.afr_student import PRESETS, AfrStudent
from models.networks.architectures import build_network, preset, presets
from models.networks.growth import grow
from models.networks.losses import psnr_terms
from tests.support.samples.networks import (
    derain_in_tiles,
    farthest_gradient,
    fit,
    rainy_pair,
    random_network,
    untouched,
)
from tests.support.samples.students import random_pictures

NAME = "afr-net-tiny-student"


def network() -> AfrStudent:
    made = random_network(NAME)
    assert isinstance(made, AfrStudent)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("start", "grown"),
    [("student-tiny", NAME), ("student-base", "afr-net-base"), ("student-base", "afr-net-large")],
)
def test_it_begins_as_the_student_bit_for_bit(start, grown, dtype):
    student, afr_net = random_network(start), build_network(preset(grown))
    grow(afr_net, student)
    rainy = random_pictures(1, 3, 37, 50)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        assert torch.equal(afr_net(rainy), student(rainy))


def test_gates_open_first_and_then_all_of_the_rounds_learns():
    afr_net = build_network(preset(NAME))
    grow(afr_net, random_network("student-tiny"))
    pair = rainy_pair()
    optimizer = torch.optim.SGD(afr_net.parameters(), lr=0.1)
    afr_net.loss_terms(pair, psnr_terms)["psnr"].mul(100).backward()
    assert all(gate.grad is not None and gate.grad.any() for gate in afr_net.afr.gates)
    optimizer.step()
    assert untouched(afr_net, torch.stack(list(afr_net.loss_terms(pair).values())).sum()) == []


def test_nothing_looks_further_than_the_receptive_radius():
    afr_net = AfrStudent(PRESETS["tiny-student"])
    assert farthest_gradient(afr_net) == afr_net.config.receptive_radius


def test_tiles_are_the_whole():
    afr_net, multiple = network(), PRESETS["tiny-student"].size_multiple
    side = 2 * (PRESETS["tiny-student"].receptive_radius // multiple + 2) * multiple
    rainy = random_pictures(1, 3, 24, 2 * side + 5)
    with torch.no_grad():
        tiled, count = derain_in_tiles(afr_net, rainy)
        torch.testing.assert_close(tiled, afr_net(rainy), rtol=0, atol=1e-6)
    assert count > 1


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (24, 40), (37, 50)])
def test_any_size_comes_out_as_it_went_in(size):
    rainy = random_pictures(2, 3, *size)
    assert network()(rainy).shape == rainy.shape


def test_features_are_the_refined_levels_and_the_mask():
    afr_net, rainy = network(), random_pictures(1, 3, 37, 50)
    found = afr_net.features(rainy)
    assert torch.equal(found.derained, afr_net(rainy))
    assert {cell: level.shape[1:] for cell, level in found.levels.items()} == {
        2: (8, 19, 25),
        4: (8, 10, 13),
        8: (8, 5, 7),
    }
    assert found.rain_mask is not None
    assert found.rain_mask.shape == (1, 1, 19, 25)
    assert 0 <= found.rain_mask.min() <= found.rain_mask.max() <= 1


def test_training_finds_rain_and_takes_it_away():
    curve = fit(build_network(preset(NAME)).train(), rainy_pair(pictures=2), 60)
    assert sum(curve[-1].values()) < 0.5 * sum(curve[0].values())
    assert curve[-1]["mask"] < 0.7 * curve[0]["mask"]


def test_presets_of_both_kinds_of_afr_net_are_in_one_family():
    names = [name for name in presets() if name.startswith("afr-net-")]
    assert {"afr-net-paper", "afr-net-base", "afr-net-large"} < set(names)
    assert len(names) == len(set(names))

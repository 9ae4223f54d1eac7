"""The U-Net that hosts AFR in a benchmark."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.common.unet import PRESETS, UNet, UNetConfig
from models.networks.losses import reconstruction_terms
from tests.support.samples.networks import (
    derain_in_tiles,
    farthest_gradient,
    fit,
    rainy_pair,
    untouched,
    with_random_weights,
)
from tests.support.samples.students import random_pictures

HOSTS = ["tiny", "tiny-afr"]


def tiny(preset: str) -> UNet:
    torch.manual_seed(0)
    return with_random_weights(UNet(PRESETS[preset]))


@pytest.mark.parametrize("preset", HOSTS)
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (20, 300), (33, 47), (64, 64)])
def test_any_size_comes_back_the_same_size(preset, size):
    rainy = random_pictures(1, 3, *size)
    derained = tiny(preset)(rainy)
    assert derained.shape == rainy.shape
    assert not torch.equal(derained, rainy)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_new_network_leaves_photographs_alone(preset):
    rainy = random_pictures(2, 3, 17, 30)
    assert torch.equal(UNet(PRESETS[preset])(rainy), rainy)


@pytest.mark.parametrize(
    "config",
    [
        *(replace(config, widths=(2,) * len(config.widths)) for config in PRESETS.values()),
        UNetConfig(widths=(2,), afr_rounds=1),
        UNetConfig(unshuffle=1, widths=(2, 2, 2, 2), afr_rounds=1),
    ],
    ids=[*PRESETS, "one level", "four levels"],
)
def test_receptive_radius_is_the_farthest_pixel_with_a_gradient(config):
    assert farthest_gradient(UNet(config)) == config.receptive_radius


@pytest.mark.parametrize("preset", HOSTS)
def test_tiled_equals_whole(preset):
    rainy = random_pictures(1, 3, 16, 1200)
    network = tiny(preset)
    tiled, count = derain_in_tiles(network, rainy)
    assert count > 2
    torch.testing.assert_close(tiled, network(rainy), atol=1e-6, rtol=0)


@pytest.mark.parametrize("preset", HOSTS)
def test_it_learns_one_pair_by_every_term(preset):
    torch.manual_seed(0)
    rounds = min(PRESETS[preset].afr_rounds, 1)
    curve = fit(UNet(replace(PRESETS[preset], afr_rounds=rounds)), rainy_pair(16, 24), steps=100)
    assert ("mask" in curve[0]) == (preset == "tiny-afr")
    for name, begun in curve[0].items():
        assert curve[-1][name] < 0.5 * begun, name


def test_without_afr_it_minimises_what_a_student_does():
    pair = rainy_pair()
    terms = UNet(PRESETS["tiny"]).loss_terms(pair)
    torch.testing.assert_close(terms, reconstruction_terms(pair.rainy, pair.clean))


@pytest.mark.parametrize("preset", HOSTS)
def test_the_loss_reaches_every_parameter(preset):
    network = tiny(preset).requires_grad_(True)
    terms = network.loss_terms(rainy_pair())
    assert untouched(network, torch.stack(list(terms.values())).sum()) == []

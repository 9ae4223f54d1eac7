"""Properties of every network in the table; a network that is added to the table is tested here as well."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from models.modelfile import build, pack, read_model_file, write_model_file
from models.networks.architectures import build_network, preset, presets
from tests.support.samples.networks import (
    derain_in_tiles,
    farthest_gradient,
    fit,
    rainy_pair,
    random_network,
    untouched,
)
from tests.support.samples.students import random_pictures

TINY = [name for name in presets() if name.split("-")[-1] == "tiny"]
LOCAL = [name for name in TINY if not preset(name).global_operation]


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("size", [(1, 9), (33, 47)])
def test_any_size_comes_back_the_same_size(name: str, size: tuple[int, int]):
    rainy = random_pictures(1, 3, *size)
    assert random_network(name)(rainy).shape == rainy.shape


@pytest.mark.parametrize("name", TINY)
def test_a_new_network_leaves_photographs_alone(name: str):
    rainy = random_pictures(2, 3, 17, 30)
    torch.testing.assert_close(build_network(preset(name)).eval()(rainy), rainy, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", LOCAL)
def test_no_pixel_beyond_the_receptive_radius_has_a_gradient(name: str):
    assert farthest_gradient(build_network(preset(name))) <= preset(name).receptive_radius


@pytest.mark.parametrize("name", LOCAL)
def test_tiles_equal_the_whole(name: str):
    network, rainy = random_network(name), random_pictures(1, 3, 16, 1200)
    tiled, count = derain_in_tiles(network, rainy)
    assert count > 2
    torch.testing.assert_close(tiled, network(rainy), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", TINY)
def test_the_loss_reaches_every_parameter_and_falls(name: str):
    network = random_network(name).requires_grad_(True)
    assert untouched(network, torch.stack(list(network.loss_terms(rainy_pair()).values())).sum()) == []
    curve = fit(network, rainy_pair(16, 24), steps=20)
    assert sum(curve[-1].values()) < sum(curve[0].values())


@pytest.mark.parametrize("name", TINY)
def test_a_model_file_brings_it_back(name: str, tmp_path: Path):
    network, rainy = random_network(name), random_pictures(1, 3, 24, 24)
    write_model_file(pack(network, {}, name=name), tmp_path / "network.safetensors")
    again = build(read_model_file(tmp_path / "network.safetensors"))
    assert again.config == network.config
    torch.testing.assert_close(again(rainy), network(rainy), atol=5e-3, rtol=0)  # stored in half precision

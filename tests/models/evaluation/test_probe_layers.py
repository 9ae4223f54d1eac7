from __future__ import annotations

import pytest
import torch
from torch import Tensor

from models.evaluation.probe_layers import DETAIL_FAMILIES, RAIN_FAMILIES
from models.rng import SampleRng

FAMILIES = {**RAIN_FAMILIES, **DETAIL_FAMILIES}
SIZE = (96, 128)


def layer(name: str, sample: int = 0, seed: int = 7) -> Tensor:
    return FAMILIES[name](SampleRng(seed, torch.tensor([sample])), SIZE)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_layer_fits_its_frame_and_is_thin(name):
    for sample in range(8):
        drawn = layer(name, sample)
        assert drawn.shape == (3, *SIZE)
        assert 0.3 < float(drawn.abs().max()) <= 1
        assert float((drawn.abs() > 0.1).float().mean()) < 0.35


@pytest.mark.parametrize("name", FAMILIES)
def test_the_same_numbers_give_the_same_layer_and_others_another(name):
    assert torch.equal(layer(name), layer(name))
    assert not torch.equal(layer(name), layer(name, sample=1))
    assert not torch.equal(layer(name), layer(name, seed=8))


@pytest.mark.parametrize("name", RAIN_FAMILIES)
def test_rain_is_grey_and_brightens(name):
    for sample in range(4):
        drawn = layer(name, sample)
        assert float(drawn.min()) == 0
        assert torch.equal(drawn[0], drawn[1])
        assert torch.equal(drawn[0], drawn[2])


def test_wires_are_dark_and_grass_is_dark_or_green():
    assert float(layer("wires").max()) <= 0
    red, green, blue = layer("grass")
    assert torch.equal(red, blue)
    assert float(red.max()) <= 0 < float(green.max())


def test_a_grating_is_regular():
    bars = layer("grating", sample=3)[0]
    shifts = [
        float((bars * bars.roll((down, right), (0, 1))).sum()) for down in (0,) for right in range(4, 40)
    ]
    rain = layer("beaded", sample=3)[0]
    scattered = [float((rain * rain.roll((0, right), (0, 1))).sum()) for right in range(4, 40)]
    assert max(shifts) / float((bars**2).sum()) > 2 * max(scattered) / float((rain**2).sum())

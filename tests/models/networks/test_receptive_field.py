from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from models.networks.receptive_field import input_receptive_field

LAYERS = {
    "conv": (lambda reach: reach.conv(), nn.Conv1d(1, 1, 3, padding=1)),
    "wide": (lambda reach: reach.conv(3), nn.Conv1d(1, 1, 7, padding=3)),
    "halve": (lambda reach: reach.strided(2), nn.Conv1d(1, 1, 2, stride=2)),
    "reduce": (lambda reach: reach.strided(3), nn.Conv1d(1, 1, 3, stride=2, padding=1)),
    "double": (lambda reach: reach.transposed(2), nn.ConvTranspose1d(1, 1, 2, stride=2)),
    "expand": (
        lambda reach: reach.transposed(3),
        nn.ConvTranspose1d(1, 1, 3, stride=2, padding=1, output_padding=1),
    ),
}
NETWORKS = [
    "conv",
    "halve",
    "reduce",
    "reduce expand",
    "halve double",
    "reduce conv expand conv",
    "conv reduce reduce wide expand conv expand reduce expand",
    "reduce halve conv double expand conv reduce conv",
]


@pytest.mark.parametrize("network", NETWORKS)
def test_reach_is_what_gradients_say(network):
    period, side = 8, 128
    reach, signal = (
        input_receptive_field(1, period),
        torch.ones(1, 1, side, dtype=torch.float64, requires_grad=True),
    )
    output = signal
    for name in network.split():
        follow, layer = LAYERS[name]
        reach, output = follow(reach), of_ones(layer)(output)
    cells = period // reach.cell
    middle = side // 2 // period * cells
    for i in range(cells):
        (gradient,) = torch.autograd.grad(output[0, 0, middle + i], signal, retain_graph=True)
        seen = gradient[0, 0].nonzero() - side // 2
        assert (int(seen.min()), int(seen.max())) == (reach.first[i], reach.last[i])


def of_ones(layer: nn.Module) -> nn.Module:
    layer = copy.deepcopy(layer).double()
    for parameter in layer.parameters():
        nn.init.ones_(parameter)
    return layer


def test_maps_that_are_joined_look_as_far_as_either():
    near = input_receptive_field(2, 8).conv()
    far = input_receptive_field(2, 8).strided(3).transposed(2)
    joined = near | far
    assert joined.first == tuple(map(min, near.first, far.first))
    assert joined.last == tuple(map(max, near.last, far.last))
    assert joined.radius == max(near.radius, far.radius)


def test_radius_counts_from_the_farther_side_of_a_cell():
    assert input_receptive_field(4, 8).radius == 3
    assert input_receptive_field(4, 8).conv(2).radius == 2 * 4 + 3

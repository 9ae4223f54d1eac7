"""Interpolation between initial and trained weights, and the limit on forgetting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from models.modelfile import build, pack
from models.networks.architectures import preset
from models.networks.base import Network
from models.training.semi.validation import SemiScore
from models.training.weight_interpolation import interpolate, select_alpha
from tests.support.samples.networks import random_network


@pytest.fixture
def pair() -> tuple[Network, Network]:
    """Return two networks in their stored form."""
    start, trained = (build(pack(random_network("student-tiny", seed), {})) for seed in (1, 2))
    return start, trained


def way(start: Network, network: Network, trained: Network) -> float:
    """Return a network's position between two others, from 0 to 1."""
    name = next(iter(start.state_dict()))
    origin, here, end = (each.state_dict()[name].flatten()[0] for each in (start, network, trained))
    return float((here - origin) / (end - origin))


def test_weights_in_between_lie_on_the_line_and_are_kept_in_fp16(pair: tuple[Network, Network]) -> None:
    middle = interpolate(*pair, 0.25).state_dict()
    ends = [network.state_dict() for network in pair]
    assert middle.keys() == ends[0].keys()
    for name, value in middle.items():
        torch.testing.assert_close(value, 0.75 * ends[0][name] + 0.25 * ends[1][name], rtol=1e-3, atol=1e-6)
        assert torch.equal(value, value.half().float())


def test_both_ends_stay_as_they_were(pair: tuple[Network, Network]) -> None:
    before = [{name: value.clone() for name, value in each.state_dict().items()} for each in pair]
    interpolate(*pair, 0.5)
    for network, known in zip(pair, before, strict=True):
        assert all(torch.equal(value, known[name]) for name, value in network.state_dict().items())


def test_counts_are_those_of_the_training() -> None:
    normed = replace(preset("drd-net-tiny"), norm=True)  # BatchNorm counts the batches it has seen
    start, trained = (random_network(normed, seed) for seed in (1, 2))
    counts = [name for name, value in trained.state_dict().items() if not value.is_floating_point()]
    for name in counts:
        trained.state_dict()[name].fill_(7)
    middle = interpolate(start, trained, 0.5).state_dict()
    assert counts
    assert all(middle[name] == 7 for name in counts)


@pytest.mark.parametrize(
    ("forgotten", "share"),
    [
        (lambda gone: 0.0, 1.0),
        (lambda gone: -gone, 1.0),  # trained weights may be better there, too
        (lambda gone: 0.24 * gone, 0.8),
        (lambda gone: 0.7 * gone**2, 0.5),
        (lambda gone: 30 * gone, 0.1),
    ],
)
def test_it_goes_as_far_as_it_forgets_little(
    forgotten: Callable[[float], float], share: float, pair: tuple[Network, Network]
) -> None:
    start, trained = pair

    def judge(network: Network) -> SemiScore:
        lost = forgotten(way(start, network, trained))
        return SemiScore(
            light=36 - lost, heavy=27 - 2 * lost, fine=32 - lost, faint=30, drops=20, none=50, rerained=33
        )

    blend = select_alpha(start, trained, judge(start), judge)
    assert blend.share == share
    assert blend.score == judge(blend.network)
    assert way(start, blend.network, trained) == pytest.approx(share, abs=0.01)

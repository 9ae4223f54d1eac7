from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from models.networks.architectures import build_network, preset
from models.networks.drd_net import DrdNetConfig
from models.networks.growth import GrowthImpossible, grow
from models.networks.student import Student, StudentConfig
from tests.support.samples.networks import random_network, untouched
from tests.support.samples.students import random_pictures

TINY = preset("student-tiny")
assert isinstance(TINY, StudentConfig)
DEEPER = replace(TINY, encoder_blocks=(2, 3), middle_blocks=3, decoder_blocks=(4, 4))
WIDER = replace(TINY, widths=(8, 12, 16))


def grown(config: StudentConfig) -> tuple[Student, Student]:
    start, network = random_network(TINY), build_network(config)
    grow(network, start)
    return start, network  # type: ignore[return-value]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_deeper_network_computes_bit_for_bit_what_its_start_does(dtype):
    start, network = grown(DEEPER)
    rainy = random_pictures(2, 3, 37, 50)
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        assert torch.equal(network(rainy), start(rainy))


def test_a_wider_network_computes_what_its_start_does():
    start, network = grown(WIDER)
    rainy = random_pictures(2, 3, 37, 50)
    torch.testing.assert_close(network(rainy), start(rainy), rtol=0, atol=1e-6)
    torch.testing.assert_close(
        network.double()(rainy.double()), start.double()(rainy.double()), rtol=0, atol=1e-14
    )


def test_the_shipped_student_grows_to_student_large_bit_for_bit():
    start, network = random_network("student-base"), build_network(preset("student-large"))
    grow(network, start)
    rainy = random_pictures(1, 3, 64, 64)
    assert torch.equal(network(rainy), start(rainy))


@pytest.mark.parametrize("config", [DEEPER, WIDER])
def test_all_that_is_new_learns_within_two_steps(config):
    _, network = grown(config)
    rainy = random_pictures(1, 3, 32, 32)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    network(rainy).square().mean().backward()
    optimizer.step()
    assert untouched(network, network(rainy).square().mean()) == []


def test_a_start_of_the_same_sizes_is_copied():
    _, network = grown(TINY)
    assert all(
        torch.equal(value, random_network(TINY).state_dict()[name])
        for name, value in network.state_dict().items()
    )


@pytest.mark.parametrize(
    ("start", "network", "reason"),
    [
        (DEEPER, TINY, "encode_fine.1.first.weight of the start is missing in this network"),
        (WIDER, TINY, "to_mid.weight has other sizes: .12, 8, 2, 2. in the start, .8, 8, 2, 2. here"),
        (TINY, preset("drd-net-tiny"), "stem.weight of the start is missing in this network"),
        (DrdNetConfig(width=8), DrdNetConfig(width=16), "rain.stem.0.weight has other sizes"),
        (
            DrdNetConfig(width=8, detail=False),
            DrdNetConfig(width=8),
            "detail.* is not in the start and cannot begin without an effect",
        ),
    ],
)
def test_initial_weights_that_do_not_fit_are_refused_in_one_line(start, network, reason):
    with pytest.raises(GrowthImpossible, match=reason) as refused:
        grow(build_network(network), build_network(start))
    assert "\n" not in str(refused.value)

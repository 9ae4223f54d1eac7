from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, fields

import pytest

from models.networks.architectures import (
    ARCHITECTURES,
    ArchitectureUnknown,
    architecture,
    architecture_of,
    build_network,
    preset,
    preset_name,
    presets,
)
from models.networks.drd_net import DrdNetConfig
from models.networks.student import PRESETS, StudentConfig
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_pictures


@dataclass(frozen=True, slots=True)
class Foreign(StudentConfig):
    """A config that is in no table."""


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_of_the_architecture_it_is_named_after(name):
    config = preset(name)
    kind = architecture_of(config)
    assert name.startswith(f"{kind.family or kind.name}-")
    assert preset_name(config) == name
    assert kind is architecture(kind.name) is ARCHITECTURES[kind.name]
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, 3)


TINY = [name for name in presets() if "-tiny" in name]


def test_every_architecture_has_a_tiny_preset():
    assert {architecture_of(preset(name)).name for name in TINY} == set(ARCHITECTURES)


@pytest.mark.parametrize("name", TINY)
def test_tiny_networks_derain(name):
    network = random_network(name)
    rainy = random_pictures(1, 3, 9, 14)
    assert architecture_of(network) is architecture_of(preset(name))
    assert network.config == preset(name)
    assert network(rainy).shape == rainy.shape


def test_names_are_what_the_project_calls_them():
    assert preset("student-base") == PRESETS["base"]
    assert isinstance(preset("drd-net-slim"), DrdNetConfig)


def test_sizes_of_no_preset_are_called_after_their_architecture():
    assert preset_name(DrdNetConfig(width=24)) == "drd-net"


@pytest.mark.parametrize("name", ["student", "student-huge", "tiny", "drd-net-", "", "Student-base"])
def test_an_unknown_preset_is_refused_with_the_known_ones(name):
    with pytest.raises(ArchitectureUnknown, match=rf"preset '{name}': .* student-base, .*drd-net-slim"):
        preset(name)


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(ArchitectureUnknown, match=r"'gan': .* student, afr-net, afr-student, drd-net$"):
        architecture("gan")
    with pytest.raises(ArchitectureUnknown, match=r"Foreign: .* student, afr-net, afr-student, drd-net$"):
        build_network(Foreign())

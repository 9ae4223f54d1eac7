"""The weights that a training starts from, and the networks that it trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.modelfile import build, pack, read_model_file, write_model_file
from models.networks.architectures import preset
from models.training.state import CheckpointMismatch
from tests.support.samples.networks import random_network
from tests.support.worlds.trainings import (
    SIX_STEPS,
    a_pair,
    curve,
    trained,
)


def test_training_starts_from_given_weights(data: Path, out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = trained(replace(SIX_STEPS, init=str(path), steps=0), data, out)
    begun = build(read_model_file(path)).state_dict()
    assert all(torch.equal(value, begun[name]) for name, value in state.network.state_dict().items())


def test_training_begins_from_a_smaller_network(data: Path, out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = trained(replace(SIX_STEPS, init=str(path), preset="student-small", steps=0), data, out)
    rainy = a_pair().rainy
    torch.testing.assert_close(state.average(rainy), build(read_model_file(path))(rainy), rtol=0, atol=1e-6)


def test_a_start_that_a_network_cannot_grow_from_is_refused(data: Path, out: Path):
    path = out / "given.safetensors"
    write_model_file(pack(random_network("drd-net-tiny"), {}), path)
    with pytest.raises(CheckpointMismatch, match=r"student-tiny cannot begin from .*given.safetensors"):
        trained(replace(SIX_STEPS, init=str(path)), data, out)


@pytest.mark.parametrize("name", ["afr-net-tiny", "drd-net-tiny"])
def test_any_network_trains_and_is_kept_under_its_name(data: Path, out: Path, name):
    state = trained(replace(SIX_STEPS, preset=name, steps=2, validate_every=1), data, out)
    kept = build(read_model_file(out / f"{name}.safetensors"))
    assert kept.config == preset(name) == state.average.config
    assert {key for key, value in curve(out)[0].items() if key.startswith("loss_") and value} == {
        f"loss_{term}" for term in state.average.loss_terms(a_pair())
    }

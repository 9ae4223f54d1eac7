"""The weights that a training starts from, and the networks that it trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.modelfile import build, pack, read_model_file, write_model_file
from models.networks.architectures import preset
from models.training.config import TrainConfig
from models.training.objectives import Supervised
from models.training.same_settings import CheckpointMismatch
from models.training.state import State, begin
from tests.support.samples.networks import random_network
from tests.support.worlds.trainings import (
    SIX_STEPS,
    a_pair,
    curve,
    launched,
    trained,
)


def begun(config: TrainConfig) -> State:
    return begin(launched(config), config, Supervised())


def test_training_starts_from_given_weights(out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = begun(replace(SIX_STEPS, init=str(path)))
    given_weights = build(read_model_file(path)).state_dict()
    assert all(torch.equal(value, given_weights[name]) for name, value in state.network.state_dict().items())


def test_training_begins_from_a_smaller_network(out: Path):
    given, path = random_network("student-tiny"), out / "given.safetensors"
    write_model_file(pack(given, {}), path)
    state = begun(replace(SIX_STEPS, init=str(path), preset="student-small"))
    rainy = a_pair().rainy
    torch.testing.assert_close(state.average(rainy), build(read_model_file(path))(rainy), rtol=0, atol=1e-6)


def test_a_start_that_a_network_cannot_grow_from_is_refused_before_data_is_read(
    data: Path, out: Path, monkeypatch
):
    monkeypatch.setattr("models.training.loop.load_training_data", pytest.fail)
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

"""Model files that are damaged, of another kind or hostile are refused with their reason."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from safetensors.torch import load, save

from models.modelfile import (
    MAX_CONFIG_BYTES,
    ModelFile,
    ModelFileInvalid,
    build,
    pack,
    read_model_file,
)
from tests.support.samples.model_files import PACKED, flipped, with_config
from tests.support.samples.students import random_student


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_missing_part_is_named(path: Path, suffix):
    path.with_suffix(suffix).unlink()
    with pytest.raises(ModelFileInvalid, match=f"rain fighter{suffix}: no such file"):
        read_model_file(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights(path: Path, share):
    path.write_bytes(PACKED.weights[: int(share * len(PACKED.weights))])
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors"):
        read_model_file(path)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9999])
def test_a_flipped_bit_in_the_weights(path: Path, share):
    path.write_bytes(flipped(PACKED.weights, int(share * len(PACKED.weights))))
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors"):
        read_model_file(path)


def test_truncated_weights_without_a_checksum():
    unsigned = with_config(PACKED, lambda config: config.pop("weights_sha256"))
    build(unsigned)
    with pytest.raises(ModelFileInvalid, match="model: the weights are damaged"):
        build(ModelFile(unsigned.weights[:-10], unsigned.config))


def test_weights_of_another_student(path: Path):
    other = json.loads(pack(random_student("small"), {}).config)["sizes"]
    config = with_config(PACKED, lambda config: config.update(sizes=other)).config
    path.with_suffix(".json").write_bytes(config)
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors: .* do not fit the config"):
        read_model_file(path)


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 99},
        {"schema_version": None},
        {"schema_version": [2]},
        {"architecture": "teacher"},
        {"architecture": ["student"]},
        {"architecture": "drd-net"},
        {"sizes": {"depth": 3}},
        {"sizes": [1, 2]},
        {"sizes": {"widths": [8, 8]}},
        {"sizes": {"widths": "wide"}},
        {"sizes": {"unshuffle": "2"}},
    ],
    ids=str,
)
def test_a_config_of_something_else(path: Path, change):
    config = with_config(PACKED, lambda config: config.update(change)).config
    path.with_suffix(".json").write_bytes(config)
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors"):
        read_model_file(path)


@pytest.mark.parametrize("config", [b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'"text"', b"3"])
def test_a_file_that_is_not_a_config_is_refused(path: Path, config):
    path.with_suffix(".json").write_bytes(config)
    with pytest.raises(
        ModelFileInvalid, match=r"rain fighter\.safetensors: the config is not a model config"
    ):
        read_model_file(path)


class Trap:
    """An object that does harm when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("something was unpickled",))


def test_nothing_is_unpickled(path: Path):
    path.write_bytes(pickle.dumps({"stem.weight": Trap()}))
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors"):
        read_model_file(path)
    unsigned = with_config(PACKED, lambda config: config.pop("weights_sha256"))
    with pytest.raises(ModelFileInvalid):
        build(ModelFile(path.read_bytes(), unsigned.config))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_refused(value: float):
    weights = load(PACKED.weights)
    weights["head.bias"][0] = value
    spoiled = with_config(
        ModelFile(save(weights), PACKED.config), lambda config: config.pop("weights_sha256")
    )
    with pytest.raises(ModelFileInvalid, match=r"head\.bias is not finite"):
        build(spoiled)


@pytest.mark.parametrize(
    "sizes",
    [
        {"middle_blocks": 10**9},
        {"middle_blocks": 2000},
        {"widths": [2**20, 2**20, 2**20]},
        {"widths": [64, 64, 64]},
        {"widths": [8, 8, [8]]},
        {"unshuffle": -1},
        {"unshuffle": 1e300},
        {"encoder_blocks": [1] * 5000},
    ],
    ids=lambda sizes: str(sizes)[:40],
)
def test_sizes_that_the_weights_do_not_have_cost_no_memory(sizes: dict[str, Any]):
    claimed = with_config(PACKED, lambda config: config["sizes"].update(sizes))
    with (
        mock.patch("models.modelfile.build_network", side_effect=AssertionError("allocated")),
        pytest.raises(ModelFileInvalid, match="do not fit the config"),
    ):
        build(claimed)


@pytest.mark.parametrize("opening", [b"[", b'{"sizes":', b'{"facts":['])
def test_a_config_that_is_nested_without_end_is_refused(opening: bytes):
    with pytest.raises(ModelFileInvalid, match="the config is not a model config"):
        build(ModelFile(PACKED.weights, opening * 100_000))


def test_a_config_that_is_far_too_long_is_refused():
    long = with_config(PACKED, lambda config: config.update(facts="x" * MAX_CONFIG_BYTES))
    with pytest.raises(ModelFileInvalid, match="the config is not a model config"):
        build(long)

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from safetensors.torch import load, save

from models.modelfile import (
    MAX_CONFIG_BYTES,
    SCHEMA_VERSION,
    SHIPPED,
    ModelFile,
    ModelFileInvalid,
    build,
    pack,
    read_model_file,
    write_model_file,
)
from models.networks.drd_net import DrdNet, DrdNetConfig
from models.networks.student import PRESETS
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_pictures, random_student

SCHEMA_1 = Path(__file__).parent / "schema_1" / "tiny.safetensors"
"""As version 0.1.0 wrote it; never to be written again."""
PACKED = pack(random_student(), {"psnr_y": 31.5})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "rain fighter.safetensors"
    write_model_file(PACKED, path)
    return path


def with_config(model_file: ModelFile, change: Callable[[dict[str, Any]], object]) -> ModelFile:
    config = json.loads(model_file.config)
    change(config)
    return ModelFile(model_file.weights, json.dumps(config).encode())


def test_round_trip(path: Path):
    read = read_model_file(path)
    assert read == PACKED
    student = build(read)
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())
    for key, value in random_student().state_dict().items():
        assert torch.equal(student.state_dict()[key], value.half().float()), key


def test_what_is_built_derains_like_what_was_packed():
    rainy = random_pictures(1, 3, 20, 24)
    torch.testing.assert_close(build(PACKED)(rainy), random_student()(rainy), atol=2e-3, rtol=0)


def test_the_config_says_what_callers_need():
    config = json.loads(PACKED.config)
    sizes = PRESETS["tiny"]
    assert config["schema_version"] == SCHEMA_VERSION
    assert config["receptive_radius"] == sizes.receptive_radius
    assert config["size_multiple"] == sizes.size_multiple
    assert config["parameters"] == sum(value.numel() for value in random_student().state_dict().values())
    assert config["facts"] == {"psnr_y": 31.5}
    assert (config["architecture"], config["global_operation"]) == ("student", False)
    assert build(PACKED).config == sizes


def test_packing_twice_gives_the_same_bytes():
    assert pack(random_student(), {"psnr_y": 31.5}).digest == PACKED.digest


def test_writing_leaves_nothing_else_behind(path: Path):
    assert sorted(part.name for part in path.parent.iterdir()) == [path.with_suffix(".json").name, path.name]


def test_the_digest_changes_with_any_byte():
    digests = {PACKED.digest}
    for data in (PACKED.weights, PACKED.config):
        for place in (0, len(data) // 2, len(data) - 1):
            changed = flipped(data, place)
            weights = data is PACKED.weights
            digests.add(
                ModelFile(*((changed, PACKED.config) if weights else (PACKED.weights, changed))).digest
            )
    assert len(digests) == 7


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


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
def test_a_file_that_is_no_config(path: Path, config):
    path.with_suffix(".json").write_bytes(config)
    with pytest.raises(
        ModelFileInvalid, match=r"rain fighter\.safetensors: the config is not a model config"
    ):
        read_model_file(path)


class Trap:
    """Does harm when unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("something was unpickled",))


def test_nothing_is_unpickled(path: Path):
    path.write_bytes(pickle.dumps({"stem.weight": Trap()}))
    with pytest.raises(ModelFileInvalid, match=r"rain fighter\.safetensors"):
        read_model_file(path)
    unsigned = with_config(PACKED, lambda config: config.pop("weights_sha256"))
    with pytest.raises(ModelFileInvalid):
        build(ModelFile(path.read_bytes(), unsigned.config))


def test_the_shipped_student_is_the_base_one():
    assert build(read_model_file(SHIPPED)).config == PRESETS["base"]


def test_a_file_of_schema_1_is_still_what_it_was():
    model_file = read_model_file(SCHEMA_1)
    assert model_file.digest == "3a8c4d9e49ed235b949065d16af328f5a5a92e7532a612b6426f327d524392eb"
    assert json.loads(model_file.config)["schema_version"] == 1
    student = build(model_file)
    assert student.config == PRESETS["tiny"]
    rainy = torch.linspace(0, 1, 180).reshape(1, 3, 6, 10)
    changes = [[-0.1167, -0.2648, -0.0914], [-0.2272, 0.0415, -0.1294], [0.4844, 0.1078, 0.4578]]
    torch.testing.assert_close(
        (student(rainy) - rainy)[0, :, 2, 3:6], torch.tensor(changes), atol=1e-3, rtol=0
    )


def test_schema_1_knew_nothing_but_students():
    later = with_config(read_model_file(SCHEMA_1), lambda config: config.update(architecture="drd-net"))
    with pytest.raises(ModelFileInvalid, match="config of schema 1, architecture 'drd-net'; this version"):
        build(later)


@pytest.mark.parametrize("name", ["student-tiny", "drd-net-tiny", "drd-net-slim"])
def test_any_network_makes_the_round_trip(tmp_path: Path, name):
    network, path = random_network(name), tmp_path / "any.safetensors"
    write_model_file(pack(network, {}), path)
    built = build(read_model_file(path))
    assert type(built) is type(network)
    assert built.config == network.config
    rainy = random_pictures(1, 3, 20, 24)
    torch.testing.assert_close(built(rainy), network(rainy), atol=5e-3, rtol=0)


def test_a_file_says_what_it_is_called():
    names = [
        json.loads(pack(random_network(config), {}, name).config)["name"]
        for config, name in [
            ("drd-net-tiny", None),
            (DrdNetConfig(width=4, rain_blocks=1, detail_blocks=1), None),
            ("drd-net-tiny", "rain fighter"),
        ]
    ]
    assert names == ["drd-net-tiny", "drd-net", "rain fighter"]


def test_batch_norm_is_packed_with_its_statistics():
    network = DrdNet(DrdNetConfig(width=4, rain_blocks=1, detail_blocks=1))
    network(random_pictures(4, 3, 16, 16))
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            value.fill_(100_001)  # more than fp16 counts to
    built = build(pack(network, {}))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(built.state_dict()[name], value, atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_weights_that_fp16_cannot_hold_are_named(value):
    network = random_student()
    network.stem.weight[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"stem\.weight: holds what fp16 cannot"):
        pack(network, {})


def test_what_cannot_be_read_is_refused_with_what_can():
    future = with_config(PACKED, lambda config: config.update(schema_version=3, architecture="gan"))
    with pytest.raises(ModelFileInvalid) as refusal:
        build(future, name="new.safetensors")
    assert str(refusal.value) == (
        "new.safetensors: config of schema 3, architecture 'gan'; this version reads"
        " schema 1 of a student and schema 2 of student, afr-net, afr-student, drd-net"
    )


def test_new_sizes_of_an_old_file_are_the_defaults():
    """A field that a later version adds must not shut out what an earlier one wrote."""
    config = DrdNetConfig(width=4, rain_blocks=1, detail_blocks=1)
    older = with_config(pack(DrdNet(config), {}), lambda config: config["sizes"].pop("squeeze_excite"))
    assert build(older).config == config


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

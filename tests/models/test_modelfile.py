from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from models.modelfile import (
    SCHEMA_VERSION,
    STUDENT_BASE,
    ModelFile,
    ModelFileInvalid,
    build,
    pack,
    read_model_file,
    write_model_file,
)
from models.networks.drd_net import DrdNet, DrdNetConfig
from models.networks.student import PRESETS
from tests.support.samples.model_files import PACKED, flipped, with_config
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_pictures, random_student

SCHEMA_1 = Path(__file__).parent / "schema_1" / "tiny.safetensors"
"""A file written by version 0.1.0; it must never be rewritten."""


def test_round_trip(path: Path):
    read = read_model_file(path)
    assert read == PACKED
    student = build(read)
    assert not student.training
    assert not any(parameter.requires_grad for parameter in student.parameters())
    for key, value in random_student().state_dict().items():
        assert torch.equal(student.state_dict()[key], value.half().float()), key


def test_a_built_network_derains_like_the_packed_one():
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


def test_the_shipped_student_is_the_base_one():
    assert build(read_model_file(STUDENT_BASE)).config == PRESETS["base"]


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
            value.fill_(100_001)  # beyond the range of fp16
    built = build(pack(network, {}))
    for name, value in network.state_dict().items():
        torch.testing.assert_close(built.state_dict()[name], value, atol=1e-6, rtol=1e-3, msg=name)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e5])
def test_weights_that_fp16_cannot_hold_are_named(value):
    network = random_student()
    network.stem.weight[0, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"stem\.weight: holds a value that fp16 cannot"):
        pack(network, {})


def test_an_unreadable_schema_is_refused_with_the_readable_ones():
    future = with_config(PACKED, lambda config: config.update(schema_version=3, architecture="gan"))
    with pytest.raises(ModelFileInvalid) as refusal:
        build(future, name="new.safetensors")
    assert str(refusal.value) == (
        "new.safetensors: config of schema 3, architecture 'gan'; this version reads"
        " schema 1 for student and schema 2 for student, afr-net, afr-student, drd-net"
    )


def test_new_sizes_of_an_old_file_are_the_defaults():
    """A field that a later version adds must not make files of earlier versions unreadable."""
    config = DrdNetConfig(width=4, rain_blocks=1, detail_blocks=1)
    older = with_config(pack(DrdNet(config), {}), lambda config: config["sizes"].pop("squeeze_excite"))
    assert build(older).config == config

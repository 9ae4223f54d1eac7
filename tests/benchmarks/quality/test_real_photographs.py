from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.common.networks import networks, shipped
from benchmarks.common.photographs import middle
from benchmarks.quality.real_photographs import RealRow, measure_probes, of_network, references
from models.evaluation.probe_layers import DETAIL_FAMILIES, RAIN_FAMILIES
from models.modelfile import STUDENT_BASE, pack, write_model_file
from tests.support.samples.photographs import as_floats, photograph
from tests.support.samples.students import random_student


@pytest.fixture
def real(tmp_path: Path) -> Path:
    folder = tmp_path / "real_rain"
    folder.mkdir()
    for name in ("astronaut", "coffee"):
        Image.fromarray(photograph(name, side=128)).save(folder / f"{name}.png")
    return folder


def test_references_rank_as_they_must(real):
    untouched, box, gaussian = (measure_probes(each, real) for each in references())
    assert (untouched.n, untouched.rain_recall, untouched.detail_kept) == (2, 0, 1)
    assert untouched.niqe_after == untouched.niqe_before
    for smoothed in (box, gaussian):
        assert smoothed.detail_kept < 0.9
        assert smoothed.informedness < 0.1
        assert smoothed.niqe_before == untouched.niqe_before < smoothed.niqe_after
    assert gaussian.rain_recall > box.rain_recall > 0.1


def test_a_photograph_has_its_probes_whatever_it_is_called(real):
    before = measure_probes(references()[1], real, limit=1)
    (real / "astronaut.png").rename(real / "a.png")
    assert measure_probes(references()[1], real, limit=1) == before
    assert measure_probes(references()[1], real, limit=1, turn=1) != before


def test_a_row_has_a_column_for_every_family():
    assert {*RAIN_FAMILIES, *DETAIL_FAMILIES} < {field.name for field in fields(RealRow)}


def test_a_network_is_measured_as_the_photographs_it_writes(tmp_path, real):
    write_model_file(pack(random_student(), {}), tmp_path / "tiny.safetensors")
    (network,) = networks([tmp_path / "tiny.safetensors"])
    pixels = photograph("coffee", side=48)
    floats = network.derain_floats(torch.stack([as_floats(pixels)] * 2))
    for each in floats:
        np.testing.assert_array_equal((each * 255).round().permute(1, 2, 0).numpy(), network.derain(pixels))
    row = measure_probes(of_network(network), real, limit=1)
    assert (row.set, row.model, row.n) == ("real_rain", "tiny", 1)


def test_a_photograph_that_cannot_be_measured_is_named(real):
    Image.new("RGB", (40, 40)).save(real / "0.png")
    with pytest.raises(SystemExit, match=r"0\.png: .*96"):
        measure_probes(references()[0], real)


def test_only_networks_ship():
    assert STUDENT_BASE in shipped()
    assert all(path.with_suffix(".json").exists() for path in shipped())


@pytest.mark.parametrize(("shape", "cut"), [((40, 30), (16, 16)), ((10, 30), (10, 16)), ((16, 17), (16, 16))])
def test_the_middle_is_cut_out(shape, cut):
    pixels = np.arange(np.prod(shape) * 3).reshape(*shape, 3)
    found = middle(pixels, 16)
    assert found.shape == (*cut, 3)
    top, left = ((extent - part) // 2 for extent, part in zip(shape, cut, strict=True))
    assert (found[0, 0] == pixels[top, left]).all()

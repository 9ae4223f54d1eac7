from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.common.networks import networks
from benchmarks.quality.paired import PairedRow, PairedSet, paired_sets, score_input, score_network
from models.modelfile import pack, write_model_file
from tests.support.samples.photographs import photograph
from tests.support.samples.students import random_student

DATA = os.environ.get("DERAIN_TEST_DATA")


@pytest.mark.slow
@pytest.mark.skipif(DATA is None, reason="DERAIN_TEST_DATA does not name a folder with the Rain100 test sets")
@pytest.mark.parametrize(
    ("name", "figures"),
    [
        ("rain100l", (26.901, 25.521, 0.8384, 0.8247)),
        ("rain100h", (13.551, 12.126, 0.3786, 0.3491)),
    ],
)
def test_figures_of_untouched_input_are_the_published_ones(name, figures):
    row = score_input(paired_sets(Path(DATA))[name])
    assert row.n == 100
    assert (row.psnr_y, row.psnr_rgb) == pytest.approx(figures[:2], abs=0.01)
    assert (row.ssim_y, row.ssim_rgb) == pytest.approx(figures[2:], abs=0.0002)


@pytest.fixture
def pairs(tmp_path: Path) -> PairedSet:
    """Return three photographs, the second without rain."""
    for folder in ("rain", "clean"):
        (tmp_path / folder).mkdir()
    for number, name in enumerate(("astronaut", "chelsea", "coffee")):
        clean = photograph(name, side=32)
        rainy = np.minimum(clean.astype(int) + (20 if number != 1 else 0), 255).astype(np.uint8)
        Image.fromarray(rainy).save(tmp_path / "rain" / f"{name}.png")
        Image.fromarray(clean).save(tmp_path / "clean" / f"{name}.png")
    return PairedSet("three", tmp_path / "rain", tmp_path / "clean")


def test_an_untouched_pair_counts_as_the_ceiling(pairs):
    row = score_input(pairs)
    assert row.n == 3
    assert row.psnr_y_min < 25 < row.psnr_y < 60
    assert score_input(PairedSet("clean", pairs.clean, pairs.clean)).psnr_y_min == 60


def test_a_limit_takes_the_first(pairs):
    row = score_input(pairs, limit=1)
    assert row.n == 1
    assert row.psnr_y_min == row.psnr_y_p10 == pytest.approx(row.psnr_y, abs=0.006)


def test_a_network_is_run_on_every_pair(pairs, tmp_path):
    write_model_file(pack(random_student(), {}), tmp_path / "tiny.safetensors")
    (network,) = networks([tmp_path / "tiny.safetensors"])
    row: PairedRow = score_network(network, pairs)
    assert (row.model, row.n) == ("tiny", 3)
    assert row.model_digest == network.digest
    assert row.psnr_y != score_input(pairs).psnr_y


def test_a_folder_without_photographs_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"rain100l.*--data"):
        score_input(paired_sets(tmp_path)["rain100l"])

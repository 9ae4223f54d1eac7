from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.peers import __main__ as peers
from benchmarks.peers import one_at_a_time, pool
from benchmarks.peers.__main__ import LOOP, OURS, POOL, RAY, WITH_PREFECT, extrapolated, rows_from
from models.engine import Engine
from models.modelfile import STUDENT_BASE, build, read_model_file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize(("peer", "dtype"), [(pool, torch.bfloat16), (one_at_a_time, torch.float32)])
def test_a_peer_derains_as_the_engine_does(peer, dtype, source: Path, tmp_path: Path):
    peer.main(STUDENT_BASE, source, tmp_path / "out")
    engine = Engine(build(read_model_file(STUDENT_BASE)), torch.device("cpu"), dtype)
    for path in source.iterdir():
        expected = engine.derain(np.asarray(Image.open(path))[None])[0]
        found = np.asarray(Image.open(tmp_path / "out" / path.name))
        assert np.abs(found.astype(int) - expected).max() <= 3  # peers round the input to bf16


def test_ratios_are_those_of_a_repeat():
    seconds = {OURS: [10.0, 20.0], WITH_PREFECT: [20.0, 20.0], POOL: [8.0, 24.0], LOOP: [100.0, 100.0]}
    rows = {row.contender: row for row in rows_from(seconds, 600, 60)}
    assert rows[OURS].derain_ratio == rows[WITH_PREFECT].derain_batch_ratio == 1
    assert rows[POOL].derain_ratio == 1.0  # the median of 0.8 and 1.2
    assert (rows[LOOP].derain_ratio, rows[LOOP].derain_batch_ratio) == (7.5, 5.0)
    assert rows[POOL].images_per_second == 37.5
    assert (rows[POOL].measured_images, rows[LOOP].measured_images) == (600, 60)


def test_a_loop_is_extrapolated_without_its_start():
    assert extrapolated(whole=12.0, inside=10.0, times=6) == 62.0


def test_without_ray_its_peer_is_left_out_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    contenders = peers.contenders_of(tmp_path / "no-python", 10)
    assert RAY not in contenders
    assert set(contenders) == {OURS, WITH_PREFECT, POOL, LOOP}
    assert "Ray Data is left out" in capsys.readouterr().out

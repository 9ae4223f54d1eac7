"""The benchmark of a whole retraining: its input, its shortened preset, and kept results of finished domains."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.photographs import images_in, read
from benchmarks.common.tables import rows_of, write_table
from benchmarks.learning import retraining
from benchmarks.learning.rain_domains import RainyScene
from benchmarks.learning.retraining import CPU, RetrainingRow, shortened, write_photographs
from tasks.retraining.presets import sizes_of
from tasks.training import finetuning_request


def test_only_the_first_rain_of_a_scene_is_used_each_from_a_separate_camera(tmp_path: Path):
    clean, *frames = (np.full((8, 8, 3), level, np.uint8) for level in (10, 20, 30))
    folder = write_photographs([RainyScene(clean, tuple(frames))] * 2, tmp_path)
    cameras = sorted(folder.iterdir())
    assert [len(images_in(camera)) for camera in cameras] == [1, 1]
    assert all(np.array_equal(read(images_in(camera)[0]), frames[0]) for camera in cameras)


def test_preset_cpu_is_shortened_for_a_while():
    before = sizes_of(CPU), finetuning_request.PRESETS["slim"]
    with shortened(7):
        assert (sizes_of(CPU).distill_steps, finetuning_request.PRESETS["slim"].steps) == (7, 7)
        assert sizes_of(CPU).teacher == before[0].teacher
    assert (sizes_of(CPU), finetuning_request.PRESETS["slim"]) == before


def test_a_finished_domain_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = tmp_path / "retraining.csv"
    names = [field.name for field in fields(RetrainingRow)]
    row = RetrainingRow(
        **{**dict.fromkeys(names, 0.5), "domain": "needles", "steps": 7, "decision": "promoted"}
    )
    write_table([row], results)
    monkeypatch.setattr(retraining, "measure", pytest.fail)
    monkeypatch.setattr(retraining, "rain100l_in", lambda *_: [])
    options = ["--steps=7", "--domains=needles", f"--results={results}"]
    monkeypatch.setattr(
        sys, "argv", ["retraining", f"--data={tmp_path}", f"--threads={torch.get_num_threads()}", *options]
    )
    retraining.main()
    (kept,) = rows_of(results, RetrainingRow)
    assert (kept["domain"], kept["decision"]) == ("needles", "promoted")

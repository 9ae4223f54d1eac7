"""The benchmark of the learning loop on small data: unseen domains, judged backgrounds, kept results."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.tables import rows_of
from benchmarks.learning import learning_loop
from benchmarks.learning.learning_loop import LoopRow
from benchmarks.learning.rain_domains import DOMAINS, FRAMES, background, scene
from models.rain import recipes
from tests.support.worlds.rainy import noise


def test_domains_fall_on_no_training():
    trained = {family for recipe in recipes.RECIPES.values() for family, _ in recipe.families}
    assert not trained & {family for domain in DOMAINS.values() for family in domain.families}


def test_frames_of_a_scene_differ_in_rain_alone_and_agree_on_the_background():
    clean = noise(64, 80, 3, low=20, high=100).permute(2, 0, 1) / 255
    first = scene(clean, DOMAINS["needles"], 3)
    assert len(first.frames) == FRAMES
    assert all((frame >= first.clean).all() for frame in first.frames)
    assert not np.array_equal(first.frames[0], first.frames[1])
    again = scene(clean, DOMAINS["needles"], 3)
    assert all(np.array_equal(*pair) for pair in zip(first.frames, again.frames, strict=True))
    still = np.abs(background(first.frames).astype(int) - first.clean).mean()
    assert still < 0.3 * np.mean([np.abs(frame.astype(int) - first.clean).mean() for frame in first.frames])


def test_a_finished_cell_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    results = tmp_path / "loop.csv"
    row = LoopRow("re-rain", "needles", 4, 1, 2, *[0.0] * 11, 4, 0.5, 12, 9)
    learning_loop.write_table([row], results)
    monkeypatch.setattr(learning_loop, "scenes", lambda *_: [])
    monkeypatch.setattr(learning_loop, "fine_tune", pytest.fail)
    monkeypatch.setattr(learning_loop, "rain100l_in", lambda *_: [])
    options = ["--steps=4", "--terms=re-rain", "--domains=needles", f"--results={results}"]
    monkeypatch.setattr(
        sys, "argv", ["loop", f"--data={tmp_path}", f"--threads={torch.get_num_threads()}", *options]
    )
    learning_loop.main()
    (kept,) = rows_of(results, LoopRow)
    assert (kept["terms"], kept["accepted"]) == ("re-rain", "9")

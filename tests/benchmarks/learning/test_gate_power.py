from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.tables import rows_of
from benchmarks.learning import gate_power
from benchmarks.learning.gate_power import PowerRow, spreads, with_truth
from models.modelfile import pack
from tasks.promotion.scores import Compared, Evaluation, ImageScore
from tasks.promotion.validation_manifest import ValidationManifest
from tasks.resolved_model import ResolvedModel
from tests.support.samples.students import random_student


def test_scenes_and_pairs_are_distinguished_whatever_the_rain_adds():
    generator = np.random.default_rng(0)
    scenes, pairs = generator.normal(0, 0.5, (4000, 1)), generator.normal(0, 0.6, (4000, 3))
    of_means, of_pairs, of_scenes = spreads(scenes + pairs + np.array([-3.0, 0.0, 5.0]))
    assert (of_means, of_pairs, of_scenes) == pytest.approx((np.hypot(0.5, 0.6 / 3**0.5), 0.6, 0.5), abs=0.02)


def test_scenes_that_differ_only_by_their_pairs_have_no_spread():
    differences = np.array([[1.0, 0.0, -1.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 1.0]])
    assert spreads(differences) == (0.0, pytest.approx(1.225, abs=1e-3), 0.0)


def test_a_challenger_that_is_measured_again_replaces_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(gate_power, "RESULTS", tmp_path / "gate_power.csv")
    row = PowerRow("large", "default", 60, 0.5, 0.4, 0.3, 10, 0.2, 400, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0)
    for each in (row, replace(row, photographs="train"), replace(row, promoted=0.8)):
        gate_power._write([each])
    found = rows_of(gate_power.RESULTS, PowerRow)
    assert [(each["photographs"], each["promoted"]) for each in found] == [
        ("train", "0.9"),
        ("default", "0.8"),
    ]


def test_the_truth_is_shifted_in_the_metrics_that_a_photograph_has():
    scores = [ImageScore(30.0 + step, 0.9, None, None, 1.0, step / 4 or None, 1.0) for step in range(3)]
    pairs = tuple(Compared(f"{step}.png", "scene", score, score) for step, score in enumerate(scores))
    model = ResolvedModel(pack(random_student(), {}), "tiny", "file")
    manifest = ValidationManifest("", "", ())
    shifted = with_truth(Evaluation(model, model, manifest, pairs, np.ones(1)), 0.2)
    assert shifted.differences("psnr_y")[0] == pytest.approx([0.2] * 3)
    assert shifted.differences("rain_recall")[0] == pytest.approx([0.0] * 2)
    assert shifted.photographs[0].challenger.rain_recall is None

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from models.modelfile import pack
from tasks import counted
from tasks.promotion import evaluation
from tasks.promotion.evaluation import evaluate
from tasks.promotion.validation_manifest import read_validation
from tasks.resolved_model import ResolvedModel
from tests.support.samples.networks import random_network
from tests.support.samples.students import random_student
from tests.support.worlds.promotion import settings_of, write_validation


def test_each_step_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    for module in (evaluation, counted):
        monkeypatch.setattr(module, "run_log", lambda: logging.getLogger("derain"))
    monkeypatch.setattr(counted, "LOG_SECONDS", -1.0)
    manifest = read_validation(str(write_validation(tmp_path / "validation")))
    champion, challenger = (
        ResolvedModel(pack(random_network(name), {}), name, "file")
        for name in ("student-tiny", "drd-net-tiny")
    )
    with caplog.at_level(logging.INFO, "derain"):
        evaluate(settings_of(tmp_path), champion, challenger, manifest)
    count = len(manifest.rows)
    assert caplog.messages == [
        f"comparing drd-net-tiny with student-tiny on {count} photographs",
        *(f"evaluating photograph {number} of {count}" for number in range(1, count + 1)),
        "measuring the latency of both networks",
    ]


def test_probes_are_planted_in_the_first_pair_of_each_scene(tmp_path: Path):
    manifest = write_validation(tmp_path / "validation")
    manifest.write_text(manifest.read_text().replace(",chelsea,", ",astronaut,"))
    model = ResolvedModel(pack(random_student(), {}), "tiny", "file")
    found = evaluate(settings_of(tmp_path), model, model, read_validation(str(manifest)))
    assert [(each.scene, each.champion.rain_recall is None) for each in found.photographs] == [
        ("astronaut", False),
        ("astronaut", True),
        ("coffee", False),
    ]
    assert all(each.champion.psnr_y is not None for each in found.photographs)
    assert found.differences("detail_kept")[1] == ["astronaut", "coffee"]

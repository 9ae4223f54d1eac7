from __future__ import annotations

import csv
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


def with_real_rain(manifest: Path, real: int) -> Path:
    """Remove the clean versions of the last rows, as if their rain were real."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows[len(rows) - real :]:
        row |= {"clean": "", "clean_sha256": ""}
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return manifest


@pytest.mark.parametrize(
    ("real", "probed"), [(1, ["astronaut", "chelsea"]), (2, ["chelsea", "coffee"])], ids=["one", "enough"]
)
def test_probes_are_planted_in_real_rain_only_if_it_has_enough_scenes(
    tmp_path: Path, real: int, probed: list[str]
):
    manifest = with_real_rain(write_validation(tmp_path / "validation"), real)
    model = ResolvedModel(pack(random_student(), {}), "tiny", "file")
    settings = settings_of(tmp_path, min_scenes=2)
    found = evaluate(settings, model, model, read_validation(str(manifest)))
    assert found.differences("rain_recall")[1] == probed

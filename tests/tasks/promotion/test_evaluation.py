from __future__ import annotations

from pathlib import Path

from models.modelfile import pack
from tasks.promotion.evaluation import evaluate
from tasks.promotion.validation_manifest import read_validation
from tasks.resolved_model import ResolvedModel
from tests.support.samples.students import random_student
from tests.support.worlds.promotion import settings_of, write_validation


def test_probes_are_planted_in_the_first_pair_of_each_scene(tmp_path: Path):
    manifest = write_validation(tmp_path / "validation")
    manifest.write_text(manifest.read_text().replace(",chelsea,", ",astronaut,"))
    model = ResolvedModel(pack(random_student(), {}), "tiny", "file")
    evaluation = evaluate(settings_of(tmp_path), model, model, read_validation(str(manifest)))
    assert [(each.scene, each.champion.rain_recall is None) for each in evaluation.photographs] == [
        ("astronaut", False),
        ("astronaut", True),
        ("coffee", False),
    ]
    assert all(each.champion.psnr_y is not None for each in evaluation.photographs)
    assert evaluation.differences("detail_kept")[1] == ["astronaut", "coffee"]

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.modelfile import read_model_file
from models.networks.architectures import preset
from models.networks.base import Network
from models.networks.losses import reconstruction_terms
from models.pairs import RainyPair
from models.rain.banks import bank_of
from models.training.distill.objective import Distillation, DistillConfig, Lineage, distance_to_better_teacher
from models.training.distill.teacher_targets import TeacherTargets
from models.training.distill.teachers import Teacher
from models.training.objectives import Supervised
from models.training.same_settings import CheckpointMismatch
from tests.support.samples.networks import rainy_pair, random_network
from tests.support.samples.train_configs import brief_training
from tests.support.worlds.rainy import noise, write_training_folder
from tests.support.worlds.trainings import assert_same, interrupted, trained

CONFIG = brief_training(steps=6, validate_every=3)
ALL = DistillConfig(attention_weight=0.1)
LINEAGE = Lineage("afr-net", "digest")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


def afr_teacher() -> Teacher:
    return Teacher(random_network("afr-net-tiny", seed=4), "afr-net", "digest")


def a_student() -> Network:
    return random_network("student-tiny").train().requires_grad_(True)


def some_targets() -> TeacherTargets:
    rainy, derained = ([noise(40, 48, 3, seed=seed)] for seed in (1, 2))
    return TeacherTargets(bank_of(rainy), bank_of(derained))


def objective(
    config: DistillConfig = ALL,
    teacher: Teacher | None = None,
    targets: TeacherTargets | None = None,
    **more: Any,
) -> Distillation:
    torch.manual_seed(0)
    student = a_student().feature_widths
    return Distillation(config, LINEAGE, student, teacher or afr_teacher(), targets, **more)


def terms_of(
    network: Network, made: Distillation, step: int = 0, pair: RainyPair | None = None
) -> dict[str, Tensor]:
    return made(network, CONFIG, step, pair or rainy_pair(32, 32, 2))


def test_the_terms_are_the_formulas():
    student, teacher, pair, targets = a_student(), afr_teacher(), rainy_pair(32, 32, 2), some_targets()
    made = objective(teacher=teacher, targets=targets)
    terms = terms_of(student, made, pair=pair)
    derained, taught = student(pair.rainy), teacher.teach(pair.rainy)
    for name, term in reconstruction_terms(derained, pair.clean).items():
        torch.testing.assert_close(terms[name], term)
    nearer = (taught.derained - pair.clean).abs().sum(1) < (derained - pair.clean).abs().sum(1)
    assert 0 < nearer.float().mean() < 1
    labelled = (nearer[:, None] * (derained - taught.derained).abs()).mean()
    torch.testing.assert_close(terms["labelled"], 0.2 * labelled)
    drawn, target = made._unlabelled_crops(CONFIG, 0, pair)  # type: ignore[misc]
    assert drawn.shape == (1, 3, 32, 32)
    torch.testing.assert_close(terms["unlabelled"], (student(drawn) - target).abs().mean())
    inner = objective(teacher=teacher).match(
        student.features(pair.rainy).levels, taught.levels, taught.rain_mask
    )
    torch.testing.assert_close(terms["features"], 0.05 * inner)
    assert set(terms) == {"charbonnier", "frequency", "labelled", "unlabelled", "features", "attention"}


def test_a_student_that_is_its_teacher_has_nothing_to_follow():
    student, pair = a_student(), rainy_pair(32, 32, 2)
    twin = Teacher(random_network("student-tiny"), "twin", "digest")
    targets = some_targets()
    terms = terms_of(student, objective(teacher=twin, targets=targets), pair=pair)
    assert terms["labelled"] == 0
    assert terms["attention"] < 1e-10
    derained = twin.derain(pair.rainy)
    assert distance_to_better_teacher(derained, derained, pair.clean) == 0
    assert (derained - twin.derain(pair.rainy)).abs().mean() == 0


def test_a_teacher_farther_from_the_truth_is_not_followed():
    clean = torch.full((1, 3, 4, 4), 0.5)
    near, far = clean + 0.1, clean - 0.2
    assert distance_to_better_teacher(near, far, clean) == 0
    torch.testing.assert_close(distance_to_better_teacher(far, near, clean), torch.tensor(0.3))


def test_inner_terms_fade_to_nothing():
    assert [round(ALL.inner_share(step, 10), 3) for step in (0, 6, 7, 8, 9, 10)] == [1, 1, 1, 0.667, 0.333, 0]
    assert replace(ALL, fade=0.0).inner_share(9, 10) == 1
    student, made = a_student(), objective()
    early, late = (terms_of(student, made, step) for step in (0, 5))
    share = ALL.inner_share(5, 6)
    assert 0 < share < 1
    torch.testing.assert_close(late["attention"], share * early["attention"])
    assert set(late) == {"psnr", "labelled", "features", "attention"}


def test_terms_without_weight_are_not_computed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Teacher, "teach", None)
    nothing = DistillConfig(labelled_weight=0, feature_weight=0, unlabelled_weight=0)
    pair, student = rainy_pair(32, 32, 2), a_student()
    terms = terms_of(student, objective(nothing, targets=some_targets()), pair=pair)
    expected = Supervised()(student, CONFIG, 0, pair)
    assert terms.keys() == expected.keys()
    assert all(torch.equal(term, expected[name]) for name, term in terms.items())


def test_a_teacher_without_features_gives_its_output_alone():
    ensemble = Teacher(random_network("student-tiny", seed=3), "e", "digest", views=2)
    made = objective(teacher=ensemble)
    assert list(made.parameters()) == []
    assert set(terms_of(a_student(), made)) == {"charbonnier", "frequency", "labelled"}


def test_gradients_reach_student_and_projections_and_no_teacher():
    student, teacher = a_student(), afr_teacher()
    made = objective(teacher=teacher, targets=some_targets())
    torch.stack(list(terms_of(student, made).values())).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in made.parameters())
    assert student.stem.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.network.parameters())


def test_the_teacher_is_not_part_of_the_checkpoint():
    names = set(objective(targets=some_targets()).state_dict())
    parts = {"mean", "variance", "seen"}
    expected = {f"match.norms.{cell}.{part}" for cell in (2, 4, 8) for part in parts}
    expected |= {f"match.projections.{cell}.{part}" for cell in (2, 4, 8) for part in ("weight", "bias")}
    assert names == expected


def test_each_step_and_process_has_different_crops():
    pair, targets = rainy_pair(16, 16, 4), some_targets()
    drawn = [
        objective(targets=targets, process=(number, 2))._unlabelled_crops(CONFIG, step, pair)[0]  # type: ignore[index]
        for step in (0, 1)
        for number in (0, 1)
    ]
    crops = torch.cat(drawn).flatten(1)
    assert len(crops) == 8
    assert len({tuple(crop.tolist()) for crop in crops}) == 8


@pytest.mark.parametrize("before_step", [1, 4])
def test_interrupted_distillation_ends_as_uninterrupted(data: Path, tmp_path: Path, before_step):
    def made() -> Distillation:
        return objective(targets=some_targets())

    whole = trained(CONFIG, data, tmp_path / "whole", made())
    begun = made().state_dict()
    assert all(not torch.equal(value, begun[name]) for name, value in whole.objective.state_dict().items())
    interrupted(CONFIG, data, tmp_path / "cut", before_step, made())
    assert_same(trained(CONFIG, data, tmp_path / "cut", made()), whole)
    kept = [(tmp_path / name / "student-tiny.safetensors").read_bytes() for name in ("cut", "whole")]
    assert kept[0] == kept[1]


def test_distillation_computes_in_bf16(data: Path, tmp_path: Path):
    config = replace(CONFIG, precision="bf16-mixed", steps=2)
    state = trained(config, data, tmp_path / "out", objective(targets=some_targets()))
    assert state.step == 2


def test_a_checkpoint_resumes_with_its_own_teacher_only(data: Path, tmp_path: Path):
    config = replace(CONFIG, steps=1)
    trained(config, data, tmp_path / "out", objective())
    other = objective()
    other.lineage = replace(LINEAGE, teacher_digest="another")
    with pytest.raises(CheckpointMismatch, match=r"^teacher_digest is another here and "):
        trained(config, data, tmp_path / "out", other)
    with pytest.raises(CheckpointMismatch, match="teacher_digest is none here and "):
        trained(config, data, tmp_path / "out")


def test_the_model_file_records_its_lineage(data: Path, tmp_path: Path):
    trained(replace(CONFIG, steps=1), data, tmp_path / "out", objective())
    config = read_model_file(tmp_path / "out" / "student-tiny.safetensors").config.decode()
    assert '"teacher_digest": "digest"' in config
    assert f'"feature_weight": {ALL.feature_weight}' in config


@pytest.mark.parametrize(
    ("changes", "named"), [({"labelled_weight": -0.1}, "labelled_weight -0.1"), ({"fade": 1.5}, r"fade 1\.5")]
)
def test_weights_that_cannot_be_are_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        DistillConfig(**{**asdict(DistillConfig()), **changes})


def test_scales_are_those_of_decoder_and_bottleneck():
    assert preset("student-tiny").unshuffle == 2
    assert objective().match.cells == [2, 4, 8]

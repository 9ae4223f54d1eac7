"""Distillation as a task: the results of a run, and the resumption of killed and disconnected ones."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.settings import Settings
from infra.storage.lease import Lease, LeaseHeld, lease_location
from infra.tracking.registry import STUDENT, Registry
from infra.tracking.server import TrackingServer, TrackingUnreachable
from models.modelfile import NotRepresentable, build, read_model_file
from models.training import loop, weight_interpolation
from models.training.config import TrainConfig
from models.training.divergence import Diverged
from models.training.weight_interpolation import interpolate
from tasks.training import distillation, distillation_request, tracked
from tasks.training.distillation import Distilled, distil_student
from tasks.training.distillation_request import DistillRequest, PreparedDistillation, prepare_distillation
from tasks.training.request import CONTINUED, continued
from tasks.training.tracked import TrainingFailed, Unstable
from tests.support.samples.networks import random_network
from tests.support.worlds.distillations import CONFIG, request, settings_of, versions


@pytest.fixture
def settings(founded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setitem(distillation_request.PRESETS, "smoke", CONFIG)
    return settings_of(founded, tmp_path / "workspace")


def distilled(settings: Settings, asked: DistillRequest) -> tuple[PreparedDistillation, Distilled]:
    prepared = prepare_distillation(settings, asked)
    return prepared, distil_student(settings, prepared, "run-1")


def kept_run(settings: Settings, run_id: str) -> Any:
    return TrackingServer(settings).client().get_run(run_id)


def curve_of(settings: Settings, run_id: str) -> list[int]:
    points = TrackingServer(settings).client().get_metric_history(run_id, "heavy")
    return [point.step for point in points]


def test_a_run_leaves_curve_pictures_lineage_and_a_challenger(settings: Settings, material: Path):
    asked = request(material)
    prepared, done = distilled(settings, asked)
    kept = kept_run(settings, done.run_id)
    client = TrackingServer(settings).client()
    assert kept.info.status == "FINISHED"
    assert curve_of(settings, done.run_id) == [2, 4]
    losses = {"loss_labelled", "loss_features", "loss_attention", "loss_unlabelled"}
    assert losses | {"system/process_memory_megabytes", "lead/after_student"} <= set(kept.data.metrics)
    teacher = read_model_file(material / "afr-net-tiny.safetensors")
    lineage = {
        "teacher": "afr-net-tiny",
        "teacher_digest": teacher.digest,
        "unlabelled_teacher": f"self-ensemble-2:{STUDENT}/1",
        "data_digest": prepared.folder.digest,
        "split_digest": prepared.folder.split_digest,
    }
    assert lineage.items() <= kept.data.tags.items()
    assert lineage.items() <= kept.data.params.items()
    assert kept.data.params["unlabelled_photographs"] == "2"  # the truncated one is left out
    assert kept.data.params["feature_weight"] == "0.05"
    files = {file.path for file in client.list_artifacts(done.run_id, "training")}
    assert files == {"training/checkpoint.pt", "training/curve.csv"}
    assert len(client.list_artifacts(done.run_id, "images")) >= 8
    challenger = client.get_model_version_by_alias(STUDENT, "challenger")
    assert (str(challenger.version), done.version) == ("2", "2")
    assert {**lineage, "training_run": done.run_id}.items() <= challenger.tags.items()
    registered = Registry(settings).resolve(f"models:/{STUDENT}@challenger")
    best = read_model_file(prepared.work / "student-tiny.safetensors")
    assert (registered.weights, registered.config) == (best.weights, best.config)
    assert f"{STUDENT}/2 is challenger, distilled in MLflow run {done.run_id}" in str(done)
    again = distilled(settings, asked)[1]
    assert (again.run_id, again.version, versions(settings)) == (done.run_id, "2", [1, 2])
    assert distilled(settings, replace(asked, seed=2))[1].run_id != done.run_id


def test_a_killed_run_resumes_its_own_tracked_run(
    settings: Settings, founded: Path, material: Path, tmp_path: Path
):
    asked = request(material, unlabelled="", attention=False)
    take = loop.step

    def step(fabric: Any, config: Any, state: Any, pair: Any) -> Any:
        if state.step == 3:
            raise KeyboardInterrupt
        return take(fabric, config, state, pair)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", step)
        with pytest.raises(KeyboardInterrupt):
            distilled(settings, asked)
    prepared = prepare_distillation(settings, asked)
    run_id = (prepared.work / "mlflow_run").read_text()
    assert kept_run(settings, run_id).info.status == "FAILED"
    done = distil_student(settings, prepared, "run-2")
    assert done.run_id == run_id
    assert (kept_run(settings, run_id).info.status, curve_of(settings, run_id)) == ("FINISHED", [2, 4])
    undisturbed = settings_of(founded, tmp_path / "undisturbed")
    whole, _ = distilled(undisturbed, asked)
    for name in ("student-tiny.safetensors", "student-tiny.json", "curve.csv"):
        assert (prepared.work / name).read_bytes() == (whole.work / name).read_bytes()


def test_a_server_that_goes_away_gets_its_records_later(settings: Settings, material: Path, monkeypatch):
    asked = request(material, unlabelled="")
    take = loop.step

    @contextmanager
    def away(server: TrackingServer, what: str) -> Iterator[None]:
        raise TrackingUnreachable(f"{server.uri}: the tracking server does not answer")
        yield

    with monkeypatch.context() as patch:

        def step(*arguments: Any) -> Any:
            patch.setattr(TrackingServer, "translate_errors", away)
            return take(*arguments)

        patch.setattr(loop, "step", step)
        with pytest.raises(TrackingUnreachable, match=r"does not answer; weights and unsent .* run it again"):
            distilled(settings, asked)
    prepared = prepare_distillation(settings, asked)
    assert (prepared.work / "curve.csv").read_text().count("\n") == 3
    run_id = (prepared.work / "mlflow_run").read_text()
    assert curve_of(settings, run_id) == []
    assert versions(settings) == [1]
    monkeypatch.setattr(loop, "step", None)  # the training is already complete
    done = distil_student(settings, prepared, "run-2")
    assert (done.run_id, curve_of(settings, run_id), versions(settings)) == (run_id, [2, 4], [1, 2])
    assert len(TrackingServer(settings).client().list_artifacts(run_id, "images")) >= 8


def test_a_student_starts_from_the_champion(settings: Settings, material: Path, monkeypatch):
    begun: list[Any] = []

    def distil(fabric: Any, config: TrainConfig, *others: Any) -> None:
        begun.append(build(read_model_file(Path(config.init))))
        raise ValueError("enough seen")

    monkeypatch.setattr(distillation, "distil", distil)
    prepared = prepare_distillation(settings, request(material, student="champion"))
    assert prepared.parameters["start"] == f"{STUDENT}/1"
    with pytest.raises(TrainingFailed, match="enough seen"):
        distil_student(settings, prepared, "run-1")
    champion = random_network("student-tiny", seed=7)
    assert torch.allclose(begun[0].stem.weight, champion.stem.weight, atol=1e-3)
    assert prepared.config == replace(continued(CONFIG), init=prepared.config.init)
    assert (prepared.config.learning_rate, prepared.config.finish) == (CONTINUED.learning_rate, 1.0)


def test_registered_weights_lie_between_the_champion_and_the_trained_ones(
    settings: Settings, material: Path, monkeypatch, caplog
):
    for module in (distillation, tracked):
        monkeypatch.setattr(module, "run_log", lambda: logging.getLogger("derain"))
    prepared = prepare_distillation(settings, request(material, student="champion"))
    monkeypatch.setattr(
        weight_interpolation, "MAX_FORGETTING_DB", -100.0
    )  # all trained weights forget too much
    with caplog.at_level(logging.INFO, "derain"):
        done = distil_student(settings, prepared, "run-1")
    lines = [each.getMessage() for each in caplog.records if each.levelno == logging.INFO]
    assert lines == [
        "measuring the lead of the teacher on validation",
        "choosing the interpolation of weights",
        "measuring the lead of the teacher on validation",
        f"registering {STUDENT}",
    ]
    weights = [read_model_file(prepared.work / f"{name}.safetensors") for name in ("student-tiny", "blended")]
    assert Registry(settings).resolve(done.model).weights == weights[1].weights
    nearer = interpolate(*(build(each) for each in (prepared.start.model_file, weights[0])), 0.1)
    assert torch.equal(build(weights[1]).stem.weight, nearer.stem.weight)


def test_one_request_is_worked_on_once_at_a_time(settings: Settings, material: Path):
    prepared = prepare_distillation(settings, request(material))
    name = f"distillation {prepared.work.name}"
    with (
        Lease(lease_location(settings.workspace), name, "another", 60.0),
        pytest.raises(LeaseHeld, match="another"),
    ):
        distil_student(settings, prepared, "run-1")
    assert not prepared.work.exists()


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (NotRepresentable("stem.weight is not finite in fp16"), "the training diverged"),
        (Diverged("step 3: not finite: loss"), "step 3: not finite: loss"),
        (OSError(28, "No space left on device"), "No space left on device; run it again to resume$"),
        (
            ValueError("a checkpoint that does not fit"),
            "a checkpoint that does not fit; run it again to resume$",
        ),
    ],
)
def test_a_training_that_goes_astray_is_one_line(
    settings: Settings, material: Path, monkeypatch, fault: Exception, says: str
):
    def astray(*arguments: Any) -> None:
        checkpoint.write_bytes(b"")
        raise fault

    checkpoint = prepare_distillation(settings, request(material)).work / "checkpoint.pt"
    monkeypatch.setattr(distillation, "distil", astray)
    prepared = prepare_distillation(settings, request(material))
    with pytest.raises(TrainingFailed, match=says) as failed:
        distil_student(settings, prepared, "run-1")
    assert versions(settings) == [1]
    is_unstable = isinstance(failed.value, Unstable)
    assert is_unstable == isinstance(fault, (Diverged, NotRepresentable))
    assert (prepared.work / "checkpoint.pt").exists() != is_unstable

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from models.modelfile import STUDENT_BASE, pack, write_model_file
from models.training.config import TrainConfig
from models.training.distill import run
from models.training.distill.run import Lead, incumbent, measure_lead
from models.training.distill.teachers import read_teacher
from tests.support.samples.networks import random_network
from tests.support.worlds.rainy import noise, write_training_folder
from tests.support.worlds.trainings import launched

SHORT = [
    "--preset=student-tiny",
    "--steps=3",
    "--batch=2",
    "--crop=32",
    "--warm-up=2",
    "--validate-every=3",
    "--validation-photographs=1",
    "--precision=32-true",
    "--threads=1",
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, unlabelled photographs and two teachers."""
    root = tmp_path_factory.mktemp("place")
    write_training_folder(root / "data")
    (root / "rainy").mkdir()
    Image.fromarray(noise(48, 56, 3).numpy()).save(root / "rainy" / "a.png")
    for name in ("afr-net-tiny", "student-tiny"):
        write_model_file(pack(random_network(name), {}), root / f"{name}.safetensors")
    return root


def typed(monkeypatch: pytest.MonkeyPatch, place: Path, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["distill", f"--data={place / 'data'}", *SHORT, *words])
    run.main()


def test_one_teacher_for_labelled_rain_and_another_for_photographs(place, tmp_path, monkeypatch, capsys):
    teachers = (
        f"--teacher={place / 'afr-net-tiny.safetensors'}",
        f"--unlabelled-teacher=self-ensemble-2:{place / 'student-tiny.safetensors'}",
    )
    typed(monkeypatch, place, *teachers, f"--unlabelled={place / 'rainy'}", f"--out={tmp_path}")
    reported = (tmp_path / "student-tiny.json").read_text()
    assert '"teacher": "afr-net-tiny"' in reported
    assert '"unlabelled_teacher": "self-ensemble-2:student-tiny"' in reported
    columns = (tmp_path / "curve.csv").read_text().splitlines()[0].split(",")
    assert {"loss_labelled", "loss_features", "loss_unlabelled"} <= set(columns)
    assert "a teacher should lead by 0.7 dB" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--teacher=none.safetensors"], "none.safetensors: no such file"),
        (["--preset=afr-net-tiny"], "preset afr-net-tiny is of architecture afr-net: only students"),
        (["--fade=2"], "fade 2.0: must be a share"),
        (["--unlabelled=nowhere"], "nowhere: no photographs there"),
    ],
)
def test_an_impossible_distillation_is_refused_in_one_line(place, tmp_path, monkeypatch, words, line):
    teacher = f"--teacher={place / 'student-tiny.safetensors'}"
    with pytest.raises(SystemExit, match=line):
        typed(monkeypatch, place, teacher, f"--out={tmp_path}", *words)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_other_settings_than_those_of_the_checkpoint_are_refused_at_once(place, tmp_path, monkeypatch):
    words = (f"--teacher={place / 'student-tiny.safetensors'}", f"--out={tmp_path}")
    typed(monkeypatch, place, *words)
    monkeypatch.setattr(run, "measure_lead", pytest.fail)
    for word, line in (("--fade=0.5", "fade is 0.5 here and 0.3 in"), ("--ema=0.9", "--ema is 0.9 here and")):
        with pytest.raises(SystemExit, match=f"^{line}"):
            typed(monkeypatch, place, *words, word)


def test_a_lead_is_measured_once(place, tmp_path, monkeypatch):
    student = place / "student-tiny.safetensors"
    config = TrainConfig(preset="student-tiny", precision="32-true")
    teacher, memory = read_teacher(str(student)), tmp_path / "lead.json"
    memory.write_text('{"compared": {"tea')  # as a killed process leaves it
    lead = measure_lead(launched(config), teacher, student, place / "data", memory)
    assert lead.teacher == pytest.approx(lead.student)
    assert not lead.suffices
    untouched = measure_lead(launched(config), teacher, None, place / "data", tmp_path / "untouched.json")
    assert untouched.student > lead.student
    monkeypatch.setattr(run, "validate", None)
    assert measure_lead(launched(config), teacher, student, place / "data", memory) == lead


def test_the_lead_of_another_teacher_or_over_another_student_is_measured_again(place, tmp_path, monkeypatch):
    reported: list[Any] = []

    def validate(network: Any, pairs: Any) -> Any:
        reported.append(network)
        return SimpleNamespace(overall=30.0)

    monkeypatch.setattr(run, "validate", validate)
    config = TrainConfig(preset="student-tiny", precision="32-true")
    student, other = (place / f"{name}.safetensors" for name in ("student-tiny", "afr-net-tiny"))
    for teacher, begun in (
        (student, student),
        (f"self-ensemble-2:{student}", student),
        (other, student),
        (other, None),
        (other, None),
    ):
        measure_lead(
            launched(config), read_teacher(str(teacher)), begun, place / "data", tmp_path / "lead.json"
        )
    assert len(reported) == 2 * 4  # all but the last


def test_a_network_with_a_lead_below_0_7_dB_is_not_a_teacher():  # noqa: N802
    assert Lead(30.8, 30.0).suffices
    assert not Lead(30.6, 30.0).suffices
    assert "should lead by 0.7 dB" in str(Lead(30.6, 30.0))


def test_a_new_student_is_compared_with_the_one_that_ships():
    assert incumbent(TrainConfig(preset="student-base")) == STUDENT_BASE
    assert incumbent(TrainConfig(preset="student-tiny")) is None
    assert incumbent(TrainConfig(preset="student-tiny", init=str(STUDENT_BASE))) == STUDENT_BASE

from __future__ import annotations

import csv
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.learning import distillation
from benchmarks.learning.distillation import differences, plan, prepare, run, steps_within, variants_of
from models.modelfile import pack, write_model_file
from models.training.config import TrainConfig
from models.training.distill.teachers import Teacher, read_teacher
from tests.support.samples.networks import random_network
from tests.support.worlds.rainy import write_training_folder

CONFIG = TrainConfig(
    preset="student-tiny", steps=2, batch=2, crop=32, warm_up=1, validation_photographs=1, precision="32-true"
)


def test_scratch_sets_the_budget_of_its_seed():
    rows = plan([1, 2], ["scratch", "+ output"])
    assert rows[:3] == [("scratch", "steps", 1), ("+ output", "steps", 1), ("+ output", "seconds", 1)]
    assert [seed for *_, seed in rows] == [1, 1, 1, 2, 2, 2]
    kept = [
        {"variant": "scratch", "budget": "steps", "length": "900", "seed": "1", "seconds": "30"},
        {"variant": "+ output", "budget": "steps", "length": "900", "seed": "1", "seconds": "45"},
        {"variant": "+ output", "budget": "steps", "length": "500", "seed": "1", "seconds": "5"},
    ]
    assert steps_within(kept, "+ output", "steps", 1, 900) == 900
    assert steps_within(kept, "+ output", "seconds", 1, 900) == 600


def test_a_teacher_without_features_has_no_rows_for_them():
    network = random_network("student-tiny")
    assert variants_of(Teacher(network, "t", "d"), "student-tiny") == list(distillation.VARIANTS)
    assert variants_of(Teacher(network, "t", "d", views=2), "student-tiny") == [
        "scratch",
        "+ output",
        "+ unlabelled",
    ]


def test_each_finished_row_is_kept_and_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(distillation, "DOMAIN_PHOTOGRAPHS", 2)
    teacher = tmp_path / "teacher.safetensors"
    write_model_file(pack(random_network("student-tiny"), {}), teacher)
    arguments = Namespace(
        data=write_training_folder(tmp_path / "data"),
        unlabelled=None,
        teacher=str(teacher),
        unlabelled_teacher=f"self-ensemble-2:{teacher}",
        photographs=1,
        work=tmp_path / "work",
    )
    bench, results = prepare(arguments, CONFIG), tmp_path / "distillation.csv"
    run(bench, ["scratch", "+ unlabelled"], [1], results)
    kept = results.read_text()
    rows = list(csv.DictReader(kept.splitlines()))
    assert [(row["variant"], row["budget"]) for row in rows] == [
        ("scratch", "steps"),
        ("+ unlabelled", "steps"),
        ("+ unlabelled", "seconds"),
    ]
    assert [row["unlabelled_photographs"] for row in rows] == ["2"] * 3
    assert rows[0]["steps"] == rows[1]["steps"] == "2"
    assert all(float(row["domain"]) > 5 for row in rows)
    reported = list(differences(rows))
    gain = float(rows[1]["domain"]) - float(rows[0]["domain"])
    assert reported[0].startswith("+ unlabelled, 2 steps, equal steps, 1 seeds: overall ")
    assert reported[0].endswith(f"domain {gain:+.2f}")
    run(bench, ["scratch", "+ unlabelled"], [1], results)
    assert results.read_text() == kept
    run(
        replace(bench, config=replace(CONFIG, steps=1)), ["scratch"], [1], results
    )  # another number of steps is another row
    assert [row["length"] for row in csv.DictReader(results.read_text().splitlines())] == ["2", "2", "2", "1"]


def test_the_default_teacher_is_the_student_that_ships():
    assert read_teacher(f"self-ensemble:{distillation.BASE}").views == 4

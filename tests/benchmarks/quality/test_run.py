from __future__ import annotations

import csv
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.quality import run as quality
from benchmarks.quality.paired import PairedRow
from models.modelfile import pack, write_model_file
from tests.support.samples.photographs import photograph
from tests.support.samples.students import random_student

ROW = PairedRow("rain100l", "student", "abc", 100, 30.0, 0.9, 29.0, 0.8, 28.0, 27.0)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_row_takes_the_place_of_that_of_the_same_set_and_model(tmp_path):
    path = tmp_path / "results" / "quality.csv"
    for row in (ROW, replace(ROW, model="teacher"), replace(ROW, psnr_y=31.5), replace(ROW, set="clean")):
        quality.write(row, path)
    found = {(row["set"], row["model"]): row["psnr_y"] for row in read(path)}
    assert found == {
        ("rain100l", "student"): "31.5",
        ("rain100l", "teacher"): "30.0",
        ("clean", "student"): "30.0",
    }


def test_a_table_with_other_columns_is_rewritten(tmp_path):
    path = tmp_path / "quality.csv"
    path.write_text("set,model,psnr\nrain100l,student,1\n")
    quality.write(replace(ROW, model="teacher"), path)
    assert [row["model"] for row in read(path)] == ["teacher"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for folder in ("paired/rain100l/rain", "paired/rain100l/clean", "real_rain"):
        (tmp_path / folder).mkdir(parents=True)
        for name in ("astronaut", "coffee"):
            Image.fromarray(photograph(name, side=96)).save(tmp_path / folder / f"{name}.png")
    write_model_file(pack(random_student(), {}), tmp_path / "tiny.safetensors")
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, data: Path, *more: str) -> None:
    monkeypatch.setattr(quality, "RESULTS", data / "results")
    model = str(data / "tiny.safetensors")
    monkeypatch.setattr(sys, "argv", ["quality", "--data", str(data), "--model", model, *more])
    quality.main()


def test_the_tables_are_printed_and_written(monkeypatch, capsys, data):
    run(monkeypatch, data, "--sets", "rain100l", "clean", "real_rain")
    paired, real = read(data / "results" / "quality.csv"), read(data / "results" / "real_rain.csv")
    assert [(row["set"], row["model"]) for row in paired] == [
        ("rain100l", "untouched input"),
        ("rain100l", "tiny"),
        ("clean", "tiny"),
    ]
    assert [row["model"] for row in real] == ["untouched input", "3x3 blur", "gaussian blur", "tiny"]
    assert capsys.readouterr().out.count("tiny") == 3


def test_a_quick_look_writes_nothing(monkeypatch, capsys, data):
    run(monkeypatch, data, "--sets", "rain100l", "--limit", "1")
    assert "n=  1" in capsys.readouterr().out
    assert not (data / "results").exists()


@pytest.mark.parametrize(
    ("given", "reason"), [(("--sets", "rain800"), "rain800"), (("--limit", "0"), "--limit")]
)
def test_an_impossible_measurement_is_refused(monkeypatch, capsys, data, given, reason):
    with pytest.raises(SystemExit):
        run(monkeypatch, data, *given)
    assert reason in capsys.readouterr().err

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.speed import gpu_path
from benchmarks.speed.gpu_path import WAYS, Row, ahead, write
from models.engine import Engine
from models.lanes import Lanes
from tests.support.samples.students import random_student


def test_every_way_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = tmp_path / "gpu_path.csv"
    options = ["--batches", "1", "2", "--height", "16", "--width", "24", "--passes", "3", "--repeats", "2"]
    monkeypatch.setattr(sys, "argv", ["gpu_path", *options, "--device", "cpu", f"--out={out}"])
    gpu_path.main()
    with out.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["way"], row["batch"]) for row in rows] == [(way, batch) for batch in "12" for way in WAYS]
    assert all(float(row["images_per_second"]) > 0 for row in rows)


def test_every_batch_is_derained_where_batches_are_begun_ahead(monkeypatch: pytest.MonkeyPatch):
    engine = Engine(random_student("tiny"), torch.device("cpu"), torch.float32)
    engine._lanes, results = Lanes(engine.device), []
    begin = engine.begin

    def watched(rainy: np.ndarray) -> object:
        begun = begin(rainy)
        results.append(begun)
        return begun

    monkeypatch.setattr(engine, "begin", watched)
    batches = [np.full((1, 8, 8, 3), level, np.uint8) for level in range(5)]
    ahead(engine, batches)
    assert len(results) == 5
    for begun, batch in zip(results, batches, strict=True):
        assert np.array_equal(begun.result(), engine.derain(batch))


def test_rows_of_another_device_stay(tmp_path: Path):
    path = tmp_path / "gpu_path.csv"
    for device, rate in (("gpu", 900.0), ("cpu", 9.0), ("cpu", 8.0)):
        write([Row("student-base", "ahead", "640x480", 1, rate, 1.0, device)], path)
    with path.open(newline="") as lines:
        rows = [(row["device"], row["images_per_second"]) for row in csv.DictReader(lines)]
    assert rows == [("gpu", "900.0"), ("cpu", "8.0")]

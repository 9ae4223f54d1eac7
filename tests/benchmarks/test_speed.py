from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import speed
from benchmarks.speed import Contender, PReNet, contenders, gmac, measure, parameters, summarise, write


def test_prenet_is_as_large_as_published():
    assert parameters(PReNet()) == 168_963


def test_prenet_derains_any_size():
    with torch.inference_mode():
        assert PReNet()(torch.rand(2, 3, 9, 14)).shape == (2, 3, 9, 14)


def test_multiplications_are_counted():
    conv = nn.Conv2d(3, 8, 3, padding=1, stride=2)
    counted = gmac(Contender("one", "fp32", conv, torch.rand(1, 3, 32, 48)))
    assert counted == pytest.approx(16 * 24 * 8 * 3 * 9 / 1e9)
    prenet = Contender("PReNet", "fp32", PReNet(), torch.rand(1, 3, 16, 16))
    assert gmac(prenet) == pytest.approx(6 * 16 * 16 * (168_963 - 32 * 15 - 3) / 1e9)


def test_rows_are_ratios_within_a_repeat(tmp_path: Path):
    compared = contenders(16)
    rows = summarise(compared, [[100, 50, 10, 4], [300, 100, 20, 10], [90, 45, 9, 3]], threads=1)
    assert [row.ratio_to_prenet for row in rows] == [1, 2, 10, 30]
    assert [row.ms_median for row in rows] == [100, 50, 10, 4]
    write(rows, tmp_path / "results" / "speed.csv")
    with (tmp_path / "results" / "speed.csv").open(newline="") as lines:
        read = list(csv.DictReader(lines))
    assert list(read[0]) == [
        "benchmark",
        "network",
        "technique",
        "size",
        "threads",
        "ms_median",
        "ratio_to_prenet",
        "parameters",
        "gmac",
        "device",
    ]
    assert [row["network"] for row in read] == ["PReNet", "PReNet", "student-base", "student-base"]


def test_every_contender_is_timed_in_every_repeat(monkeypatch):
    monkeypatch.setattr(speed, "TIMED_SECONDS", 0.0)
    times = measure(contenders(16), repeats=2)
    assert [len(repeat) for repeat in times] == [4, 4]
    assert all(one > 0 for repeat in times for one in repeat)

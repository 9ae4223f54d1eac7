from __future__ import annotations

import csv
from pathlib import Path

import pytest
import torch

from benchmarks import speed
from benchmarks.speed import PReNet, contenders, measure, summarise, write
from models.descriptor import count_gmac, count_parameters


def test_prenet_is_as_large_as_published():
    assert count_parameters(PReNet()) == 168_963


def test_prenet_derains_any_size():
    with torch.inference_mode():
        assert PReNet()(torch.rand(2, 3, 9, 14)).shape == (2, 3, 9, 14)


def test_multiplications_of_every_stage_are_counted():
    assert count_gmac(PReNet(), 16) == pytest.approx(6 * 16 * 16 * (168_963 - 32 * 15 - 3) / 1e9)


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

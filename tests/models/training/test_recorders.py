from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from models.training.recorders import CurveFile


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_curve_has_a_row_per_step_and_a_column_per_recorded_value(tmp_path: Path):
    curve = CurveFile(tmp_path / "curve.csv")
    curve.scalars(10, {"loss_charbonnier": 0.1234567, "light": 30.0})
    curve.scalars(20, {"loss_psnr": -0.03, "light": 31.0})
    assert rows(tmp_path / "curve.csv") == [
        {"step": "10", "loss_charbonnier": "0.12346", "light": "30.0", "loss_psnr": ""},
        {"step": "20", "loss_charbonnier": "", "light": "31.0", "loss_psnr": "-0.03"},
    ]


def test_records_of_later_steps_of_a_killed_run_are_dropped(tmp_path: Path):
    for step, light in ((10, 30.0), (20, 31.0), (30, 32.0), (20, 31.5)):
        CurveFile(tmp_path / "curve.csv").scalars(step, {"light": light})
    assert [(row["step"], row["light"]) for row in rows(tmp_path / "curve.csv")] == [
        ("10", "30.0"),
        ("20", "31.5"),
    ]
    assert not list(tmp_path.glob("*.partial"))


def test_pictures_are_not_the_curves_business(tmp_path: Path):
    CurveFile(tmp_path / "curve.csv").picture(1, "light", np.zeros((2, 2, 3), np.uint8))
    assert not list(tmp_path.iterdir())

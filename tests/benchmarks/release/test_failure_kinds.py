from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.release.failure_kinds import CELL, EXAMPLES, TITLE, Example, Row, Streaks, sheet
from benchmarks.release.worst_photographs import WORST, WorstRow, worst
from models.rain.streaks import MEDIUM
from tasks.media.samples import photograph


def test_each_of_the_six_kinds_has_a_row():
    assert {example.kind for example in EXAMPLES} == {
        "fine dense", "heaviest", "night", "two directions", "near bold", "drops on the lens"
    }  # fmt: skip


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.render], ids=lambda each: each.kind)
def test_rendered_rain_falls_on_the_crop_that_is_shown(example: Example):
    rainy, clean = example.rainy(Path()), photograph(example.key)
    width, height = CELL
    shown = np.s_[example.top : example.top + height, example.left : example.left + width]
    assert rainy[shown].shape == (height, width, 3)
    assert (rainy[shown] != clean[shown]).any()
    assert "rendered" in example.title()


def test_a_photograph_of_real_rain_is_read_as_it_is(tmp_path: Path):
    Image.new("RGB", (4, 3), (1, 2, 3)).save(tmp_path / "a.png")
    example = Example("night", "a.png", 0, 0)
    assert example.rainy(tmp_path).tolist() == [[[1, 2, 3]] * 4] * 3
    assert example.title() == "night: a.png"


def test_streaks_of_two_angles_are_more_than_those_of_one():
    dark = np.zeros((64, 64, 3), np.uint8)
    one, two = (Streaks((MEDIUM,), angles)(dark) for angles in ((0.3,), (0.3, -0.3)))
    assert 0 < one.sum() < two.sum()


def test_the_sheet_has_a_title_above_each_row():
    row = Row("heaviest", [np.full((10, 20, 3), level, np.uint8) for level in (10, 20, 30)])
    page = np.asarray(sheet([row, row]))
    assert page.shape == (2 * (10 + TITLE), 60, 3)
    assert [page[TITLE, column, 0] for column in (0, 20, 40)] == [10, 20, 30]
    assert page[TITLE - 1, 59, 0] == page[TITLE + 10, 59, 0] == 255


def test_the_worst_are_those_of_least_rain_recall():
    rows = [WorstRow(str(number), 0.5, (number * 7 % 30) / 30, 1.0, 1.0) for number in range(30)]
    found = worst(rows)
    assert len(found) == WORST
    assert [row.rain_recall_large for row in found] == [number / 30 for number in range(WORST)]

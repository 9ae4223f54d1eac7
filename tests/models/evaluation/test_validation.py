from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.evaluation.validation import (
    CLEAN_CEILING,
    KINDS,
    ValidationScore,
    before_after,
    render_validation,
    validate,
)
from models.images import to_rgb
from models.modelfile import build, read_model_file
from models.networks.student import PRESETS, Student
from models.rain.banks import load_training_data
from models.shipped import DEFAULT_WEIGHTS
from tests.support.samples.students import random_student
from tests.support.worlds.rainy import small_world, write_training_folder

WORLD = small_world()


class Darker(nn.Module):
    """Subtracts the same from every photograph, rainy or not."""

    def forward(self, rainy: Tensor) -> Tensor:
        return rainy - 0.1


def test_the_set_is_always_the_same():
    first, again = render_validation(WORLD, 3), render_validation(WORLD, 3)
    for kind in KINDS:
        for one, other in zip(getattr(first, kind), getattr(again, kind), strict=True):
            assert torch.equal(one.rainy, other.rainy)


def test_kinds_of_rain():
    pairs = render_validation(WORLD, 3)
    assert [len(of) for of in pairs.by_kind().values()] == [2, 3, 3, 3, 3, 3]  # two have a layer
    assert all((pair.rainy >= pair.clean).all() and pair.rainy.ne(pair.clean).any() for pair in pairs.light)
    assert all(
        pair.rainy.ne(pair.clean).any() for pair in (*pairs.heavy, *pairs.fine, *pairs.faint, *pairs.drops)
    )
    assert all(torch.equal(pair.rainy, pair.clean) for pair in pairs.none)


def test_no_more_than_asked_for():
    pairs = render_validation(WORLD, 1)
    assert [len(of) for of in pairs.by_kind().values()] == [1, 1, 1, 1, 1, 1]


def test_a_student_that_changes_nothing_keeps_clean_photographs():
    score = validate(Student(PRESETS["tiny"]), render_validation(WORLD, 3))
    assert score.none == CLEAN_CEILING
    assert 3 < score.light < 30
    assert 3 < score.heavy < 30


def test_harm_to_clean_photographs_costs():
    pairs = render_validation(WORLD, 3)
    untouched, altered = validate(Student(PRESETS["tiny"]), pairs), validate(random_student(), pairs)
    assert altered.none < untouched.none
    assert validate(Darker(), pairs).none == pytest.approx(-20 * np.log10(0.1 * 219 / 255), abs=0.5)


def test_all_streaks_count_alike_and_clean_photographs_a_little():
    score = ValidationScore(light=36.0, heavy=26.0, fine=34.0, faint=32.0, drops=28.0, none=50.0)
    assert score.overall == pytest.approx(32 + 2.5)
    assert str(score) == "light 36.00, heavy 26.00, fine 34.00, faint 32.00, drops 28.00, none 50.00 dB"


def test_pictures_show_rainy_derained_and_clean_side_by_side():
    pairs = render_validation(WORLD, 2)
    pictures = before_after(Darker(), pairs)
    assert list(pictures) == list(KINDS)
    for kind, picture in pictures.items():
        pair = getattr(pairs, kind)[0]
        rainy, derained, clean = np.split(picture, 3, axis=1)
        assert np.array_equal(rainy, to_rgb(pair.rainy[0]))
        assert np.array_equal(derained, to_rgb(pair.rainy[0] - 0.1))
        assert np.array_equal(clean, to_rgb(pair.clean[0]))


def test_floats_become_levels():
    picture = torch.tensor([-0.2, 0.0, 0.5019, 0.9979, 1.0, 1.3]).expand(3, 1, 6)
    levels = to_rgb(picture)
    assert levels.dtype == np.uint8
    assert levels[0, :, 0].tolist() == [0, 0, 128, 254, 255, 255]


def test_the_shipped_student_removes_rain(tmp_path: Path):
    """The limit is low, because the photographs and streaks are unseen; the test only detects wrong weights."""
    pairs = render_validation(load_training_data(write_training_folder(tmp_path), held_out=True), 2)
    untouched, shipped = (
        validate(Student(PRESETS["large"]), pairs),
        validate(build(read_model_file(DEFAULT_WEIGHTS)), pairs),
    )
    assert shipped.light > untouched.light + 1
    assert shipped.heavy > untouched.heavy + 1
    assert shipped.none > 35

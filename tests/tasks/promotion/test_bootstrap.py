"""Intervals compared with SciPy's, and the effect of several photographs of one scene."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import bootstrap

from tasks.promotion.bootstrap import Interval, paired_interval


def _figures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).gamma(2.0, 1.0, count) - 1.5


@pytest.mark.parametrize("count", [5, 40])
def test_bounds_are_those_of_scipy(count: int):
    figures = _figures(count)
    theirs = bootstrap(
        (figures,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    ours = paired_interval(figures, resamples=20_000)
    width = theirs.high - theirs.low
    assert ours.mean == pytest.approx(figures.mean())
    assert ours.lower == pytest.approx(theirs.low, abs=0.02 * width)
    assert ours.upper == pytest.approx(theirs.high, abs=0.02 * width)


def test_the_same_seed_gives_the_same_interval():
    figures = _figures(20)
    assert paired_interval(figures, seed=3) == paired_interval(figures, seed=3)
    assert paired_interval(figures, seed=3) != paired_interval(figures, seed=4)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    drawn = [paired_interval(generator.normal(0.3, 1, 60), resamples=400) for _ in range(200)]
    held = np.mean([each.lower <= 0.3 <= each.upper for each in drawn])
    assert 0.89 <= held <= 0.99


def test_photographs_of_one_scene_add_no_evidence():
    figures = _figures(12)
    scenes = [f"scene {number:02}" for number in range(12)]
    once = paired_interval(figures, scenes)
    assert once == paired_interval(figures)  # each photograph is a scene
    again = paired_interval(np.repeat(figures, 4), np.repeat(scenes, 4).tolist())
    narrow = paired_interval(np.repeat(figures, 4))
    width = once.upper - once.lower
    assert again.upper - again.lower == pytest.approx(width, rel=0.1)
    assert narrow.upper - narrow.lower < 0.7 * width


def test_equal_figures_have_no_width():
    assert paired_interval(np.full(7, 0.25)) == Interval(0.25, 0.25, 0.25)


@pytest.mark.parametrize("figures", [[], [1.0, np.nan], [np.inf]])
def test_differences_that_are_not_finite_are_refused(figures: list[float]):
    with pytest.raises(ValueError, match="finite"):
        paired_interval(np.array(figures, np.float64))

"""Crops: inside the image, without overlap, rain first; padded by reflection."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from tasks.pool.crops import Box, boxes_by_energy, cut, streak_energy, streak_response


def _response(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (height, width)).astype(np.uint8)


@given(height=st.integers(1, 400), width=st.integers(1, 400), seed=st.integers(0, 9))
def test_boxes_lie_inside_and_apart_and_fill_what_they_can(height: int, width: int, seed: int) -> None:
    boxes = list(boxes_by_energy(_response(height, width, seed), side=100))
    assert boxes
    for box in boxes:
        assert (box.height, box.width) == (min(height, 100), min(width, 100))
        assert 0 <= box.top <= height - box.height
        assert 0 <= box.left <= width - box.width
    for one, other in combinations(boxes, 2):
        assert abs(one.top - other.top) >= one.height or abs(one.left - other.left) >= one.width


def test_the_rainiest_square_comes_first() -> None:
    response = np.zeros((512, 512), np.uint8)
    response[256:384, 128:256] = 200
    first, second = list(boxes_by_energy(response, side=128))[:2]
    assert first == Box(256, 128, 128, 128)
    assert streak_energy(response[second.top :][:128, second.left :][:, :128]) == 0


def test_a_square_at_the_end_of_a_side_is_found() -> None:
    response = np.zeros((130, 333), np.uint8)
    response[2:, 233:] = 255
    assert next(boxes_by_energy(response, side=100)).left == 233


def test_the_response_is_the_white_top_hat_of_a_line() -> None:
    luma = _response(20, 40)
    rgb = np.repeat(luma[..., None], 3, axis=2)
    expected = luma - ndimage.grey_opening(luma, size=(1, 7), mode="nearest")
    np.testing.assert_array_equal(streak_response(rgb)[:, 6:-6], expected[:, 6:-6])


def test_a_thin_upright_streak_responds_and_a_wide_bar_or_a_line_across_does_not() -> None:
    def energy(rows: slice, columns: slice) -> float:
        rgb = np.full((40, 40, 3), 60, np.uint8)
        rgb[rows, columns] = 160
        return streak_energy(streak_response(rgb))

    assert energy(slice(None), slice(10, 13)) == pytest.approx(3 * 100 / 40 / 255)
    assert energy(slice(None), slice(10, 20)) == 0
    assert energy(slice(10, 12), slice(None)) == 0


@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_smaller_crops_are_padded_by_reflection(height: int, width: int) -> None:
    rgb = np.random.default_rng(height).integers(0, 255, (height, width, 3)).astype(np.uint8)
    crop = cut(rgb, Box(0, 0, height, width), side=64)
    np.testing.assert_array_equal(crop[:height, :width], rgb)
    np.testing.assert_array_equal(crop[height, :width], rgb[height - 2])
    assert crop.shape == (64, 64, 3)

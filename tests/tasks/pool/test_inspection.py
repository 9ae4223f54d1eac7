"""Faults of images, measured on images that are made to have them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter

from infra.limits import IngestLimits
from tasks.pool.inspection import inspect_image, neighbour_correlation
from tests.support.samples.records import ref
from tests.support.worlds.ingest import scene

LIMITS = IngestLimits(min_side=24, crops_per_image=2)


def _blurred() -> np.ndarray:
    picture = Image.fromarray(scene(0, 96, 96)).filter(ImageFilter.GaussianBlur(6))
    return np.asarray(picture)


@pytest.mark.parametrize(
    ("rgb", "reason"),
    [
        (scene(0, 20, 90), "too small (90 x 20 pixels, at least 24 a side)"),
        (np.full((60, 60, 3), 128, np.uint8), "flat (contrast 0.000, at least 0.02)"),
        (_blurred(), "blurred (sharpness"),
        (np.random.default_rng(0).integers(0, 255, (60, 60, 3)).astype(np.uint8), "noise (neighbouring"),
    ],
)
def test_a_bad_image_is_rejected_with_the_reason(rgb: np.ndarray, reason: str) -> None:
    inspected = inspect_image(ref("a"), rgb, LIMITS)
    assert str(inspected.reason).startswith(reason)
    assert inspected.crops == ()


def test_a_photograph_has_crops_and_statistics() -> None:
    inspected = inspect_image(ref("a"), scene(0, 90, 1600), LIMITS)
    assert (inspected.reason, len(inspected.crops)) == (None, 2)
    assert {(crop.box.height, crop.box.width) for crop in inspected.crops} == {(90, 512)}
    assert all(0 < crop.quality.streak_energy < crop.quality.contrast < 1 for crop in inspected.crops)


def test_a_crop_without_anything_in_it_is_not_taken() -> None:
    half = np.full((100, 1024, 3), 200, np.uint8)
    half[:, :512] = scene(0, 100, 512)
    inspected = inspect_image(ref("a"), half, LIMITS)
    assert [crop.box.left for crop in inspected.crops] == [0]


def test_correlation_is_that_of_neighbours() -> None:
    luma = np.random.default_rng(0).integers(0, 255, (50, 60)).astype(np.uint8)
    down = np.corrcoef(luma[1:].ravel(), luma[:-1].ravel())[0, 1]
    across = np.corrcoef(luma[:, 1:].ravel(), luma[:, :-1].ravel())[0, 1]
    expected = (down + across) / 2
    found = neighbour_correlation(np.repeat(luma[..., None], 3, axis=2))
    assert found == pytest.approx(expected, abs=0.02)
    assert neighbour_correlation(np.full((9, 9, 3), 7, np.uint8)) == 1.0

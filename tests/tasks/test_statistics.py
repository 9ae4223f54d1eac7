"""Image statistics compared with the plain formula in float64."""

import numpy as np
import pytest

from infra.records import ImageStatistics
from tasks.statistics import image_statistics
from tests.support.samples.images import photo


def by_formula(rainy: np.ndarray, derained: np.ndarray) -> ImageStatistics:
    luma = rainy @ np.array([0.299, 0.587, 0.114])
    centre = luma[1:-1, 1:-1]
    laplacian = 4 * centre - luma[:-2, 1:-1] - luma[2:, 1:-1] - luma[1:-1, :-2] - luma[1:-1, 2:]
    energy = np.abs(rainy.astype(float) - derained).mean()
    values = [energy, luma.mean(), luma.std(), np.abs(laplacian).mean()]
    return ImageStatistics(*(float(value) / 255 for value in values))


@pytest.mark.parametrize("size", [(24, 16), (200, 300)])
def test_statistics_follow_the_formula(size):
    rainy, derained = photo(*size), photo(*size, seed=1)
    measured, expected = image_statistics(rainy, derained), by_formula(rainy, derained)
    assert measured.rain_energy == pytest.approx(expected.rain_energy, abs=1e-9)
    assert measured.brightness == pytest.approx(expected.brightness, abs=0.002)
    assert measured.contrast == pytest.approx(expected.contrast, abs=0.002)
    assert measured.sharpness == pytest.approx(expected.sharpness, rel=0.02)


def test_large_images_are_sampled_by_rows():
    rainy, derained = photo(1500, 1000), photo(1500, 1000, seed=1)
    measured, expected = image_statistics(rainy, derained), by_formula(rainy, derained)
    assert measured.rain_energy == pytest.approx(expected.rain_energy, rel=0.02)
    assert measured.sharpness == pytest.approx(expected.sharpness, rel=0.02)


def test_a_single_laplacian_is_exact_in_grey():
    grey = np.repeat(photo(3, 3)[..., :1], 3, axis=2)
    assert image_statistics(grey, grey).sharpness == pytest.approx(by_formula(grey, grey).sharpness)


def test_extremes():
    white, black = np.full((5, 5, 3), 255, np.uint8), np.zeros((5, 5, 3), np.uint8)
    assert image_statistics(white, black) == ImageStatistics(1.0, 1.0, 0.0, 0.0)
    assert image_statistics(black, white) == ImageStatistics(1.0, 0.0, 0.0, 0.0)
    checks = np.where(np.indices((6, 6)).sum(axis=0)[..., None] % 2, white[0, 0], 0).astype(np.uint8)
    assert image_statistics(checks, checks) == ImageStatistics(0.0, 0.5, 0.5, 4.0)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 2)])
def test_too_small_for_a_laplacian(size):
    assert image_statistics(photo(*size), photo(*size)).sharpness == 0.0


def test_another_size_is_a_programming_error():
    with pytest.raises(ValueError, match="shape"):
        image_statistics(photo(4, 4), photo(4, 5))

from __future__ import annotations

import math
from statistics import fmean

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from models.evaluation.metrics import luma, psnr_rgb, psnr_y, ssim_rgb, ssim_y


def picture(seed: int, height: int = 31, width: int = 44) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def slightly_off(clean: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(9).normal(0, 12, clean.shape)
    return (clean + noise).round().clip(0, 255).astype(np.uint8)


CLEAN = picture(1)
DERAINED = slightly_off(CLEAN)


def test_luma_has_the_studio_range_of_bt601():
    primaries = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], dtype=np.uint8)
    np.testing.assert_allclose(luma(primaries), [[16, 235, 16 + 65.481]], atol=1e-9)
    np.testing.assert_allclose(luma(CLEAN), rgb2ycbcr(CLEAN)[..., 0], atol=1e-3)


def test_psnr_is_its_formula():
    error = CLEAN.astype(float) - DERAINED.astype(float)
    assert psnr_rgb(DERAINED, CLEAN) == pytest.approx(10 * math.log10(255**2 / (error**2).mean()), abs=1e-9)
    on_y = error @ np.array([65.481, 128.553, 24.966]) / 255
    assert psnr_y(DERAINED, CLEAN) == pytest.approx(10 * math.log10(255**2 / (on_y**2).mean()), abs=1e-9)


def test_psnr_is_what_scikit_image_says():
    assert psnr_rgb(DERAINED, CLEAN) == pytest.approx(peak_signal_noise_ratio(CLEAN, DERAINED), abs=1e-9)


def test_equal_images():
    assert psnr_y(CLEAN, CLEAN) == psnr_rgb(CLEAN, CLEAN) == math.inf
    assert ssim_y(CLEAN, CLEAN) == ssim_rgb(CLEAN, CLEAN) == pytest.approx(1.0)


def test_psnr_does_not_wrap_around_in_uint8():
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert psnr_rgb(black, white) == psnr_rgb(white, black) == pytest.approx(0.0)


def ssim_by_formula(first: np.ndarray, second: np.ndarray) -> float:
    """Return the mean of the index of Wang et al. (2004) over all complete 11x11 windows."""
    reach = np.arange(-5, 6)
    window = np.exp(-(reach**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def blurred(values: np.ndarray) -> np.ndarray:
        return np.einsum("yxij,ij->yx", np.lib.stride_tricks.sliding_window_view(values, (11, 11)), window)

    mean_1, mean_2 = blurred(first), blurred(second)
    variance_1, variance_2 = blurred(first**2) - mean_1**2, blurred(second**2) - mean_2**2
    covariance = blurred(first * second) - mean_1 * mean_2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    index = (2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
    return float((index / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2))).mean())


def test_ssim_is_its_formula():
    assert ssim_y(DERAINED, CLEAN) == pytest.approx(ssim_by_formula(luma(DERAINED), luma(CLEAN)), abs=1e-9)
    channels = [
        ssim_by_formula(DERAINED[..., c].astype(float), CLEAN[..., c].astype(float)) for c in range(3)
    ]
    assert ssim_rgb(DERAINED, CLEAN) == pytest.approx(fmean(channels), abs=1e-9)

from __future__ import annotations

from statistics import fmean

import numpy as np
import pytest
import torch

from benchmarks.quality.smoothers import box_blur, gaussian_blur
from models.evaluation.niqe import (
    PRISTINE,
    NaturalModel,
    asymmetric_gaussian,
    generalised_gaussian,
    niqe,
    patch_features,
    read_pristine,
)
from tests.support.samples.photographs import PHOTOGRAPHS, as_floats, photograph


def as_pixels(picture: torch.Tensor) -> np.ndarray:
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()


def noisy(pixels: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 15, pixels.shape)
    return (pixels + noise).round().clip(0, 255).astype(np.uint8)


def blurred(pixels: np.ndarray) -> np.ndarray:
    return as_pixels(gaussian_blur(as_floats(pixels)[None])[0])


def slightly_blurred(pixels: np.ndarray) -> np.ndarray:
    return as_pixels(box_blur(as_floats(pixels)[None])[0])


def blocky(pixels: np.ndarray) -> np.ndarray:
    return pixels[::4, ::4].repeat(4, 0).repeat(4, 1)


@pytest.fixture(scope="module")
def pristine() -> NaturalModel:
    return read_pristine()


@pytest.mark.parametrize("damage", [blurred, slightly_blurred, noisy, blocky])
def test_damage_is_less_natural_on_average(pristine, damage):
    photographs = [photograph(name, side=288) for name in PHOTOGRAPHS]
    before = fmean(niqe(pixels, pristine) for pixels in photographs)
    assert fmean(niqe(damage(pixels), pristine) for pixels in photographs) > before + 0.3


def test_a_score_is_the_same_again(pristine):
    pixels = photograph("coffee", side=192)
    assert niqe(pixels, pristine) == niqe(pixels.copy(), pristine)


@pytest.mark.parametrize(("shape", "scale"), [(2.0, 2**0.5 * 0.7), (1.0, 0.7)])
def test_the_shape_of_gauss_and_laplace_is_found(shape, scale):
    random = np.random.default_rng(1)
    values = random.normal(0, 0.7, (2, 200_000)) if shape == 2 else random.laplace(0, 0.7, (2, 200_000))
    found_shape, found_scale = generalised_gaussian(torch.from_numpy(values))
    assert found_shape.tolist() == pytest.approx([shape] * 2, rel=0.02)
    assert found_scale.tolist() == pytest.approx([scale] * 2, rel=0.02)


def test_the_two_sides_of_a_skewed_distribution_are_found():
    """An asymmetric Laplace variable is exponential on each side, with probability proportional to the scale."""
    random = np.random.default_rng(2)
    to_right = random.random(400_000) < 0.75
    values = np.where(
        to_right, random.exponential(1.5, to_right.shape), -random.exponential(0.5, to_right.shape)
    )
    shape, mean, left, right = (
        float(part[0]) for part in asymmetric_gaussian(torch.from_numpy(values)[None])
    )
    assert (shape, left, right) == (
        pytest.approx(1.0, rel=0.03),
        pytest.approx(0.5, rel=0.03),
        pytest.approx(1.5, rel=0.03),
    )
    assert mean == pytest.approx(float(values.mean()), rel=0.03)


def test_features_are_of_every_patch_at_two_scales():
    features, sharpness = patch_features(photograph("coffee", side=300))
    assert features.shape == (9, 36)
    assert sharpness.shape == (9,)


def test_a_blurred_patch_is_less_sharp():
    pixels = photograph("chelsea", side=192)
    assert (patch_features(blurred(pixels))[1] < patch_features(pixels)[1]).all()


def test_the_shipped_model_is_whole():
    shipped = read_pristine(PRISTINE)
    assert shipped.mean.shape == (36,)
    assert float(torch.linalg.eigvalsh(shipped.covariance).min()) > 0


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        (np.zeros((95, 300, 3), np.uint8), "96 pixels"),
        (np.full((200, 200, 3), 90, np.uint8), "texture"),
    ],
)
def test_a_photograph_without_a_patch_is_refused(pristine, pixels, reason):
    with pytest.raises(ValueError, match=reason):
        niqe(pixels, pristine)

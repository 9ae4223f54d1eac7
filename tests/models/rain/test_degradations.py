from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data as photographs
from torch import Tensor

from models.rain import degradations
from tests.support.samples.students import random_pictures
from tests.support.worlds.rainy import sample_rng


def grey_photograph() -> np.ndarray:
    return photographs.camera()[100:228, 160:288]


def as_floats(levels: np.ndarray) -> Tensor:
    """Return the grey picture on three channels, (1, 3, H, W)."""
    return torch.from_numpy(levels.copy()).float().div(255).expand(1, 3, -1, -1)


def lost_by_pillow(levels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer)).astype(float)


@pytest.mark.parametrize("quality", [40, 75, 92])
def test_jpeg_loses_what_pillow_loses_on_luma(quality):
    levels = grey_photograph()
    ours = 255 * degradations.jpeg(as_floats(levels), torch.tensor([float(quality)]))[0, 0].double().numpy()
    theirs = lost_by_pillow(levels, quality)
    loss = np.sqrt(((theirs - levels) ** 2).mean())
    assert np.sqrt(((ours - levels) ** 2).mean()) == pytest.approx(loss, rel=0.1)
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.5 * loss


def test_jpeg_of_quality_100_rounds_and_no_more():
    pictures = as_floats(grey_photograph())
    assert (degradations.jpeg(pictures, torch.tensor([100.0])) - pictures).abs().max() < 3 / 255


@pytest.mark.parametrize("quality", [40, 75, 92])
def test_jpeg_loses_what_pillow_loses_on_colours(quality):
    levels = photographs.chelsea()[60:200, 100:260]  # 140 rows: not a multiple of 16
    pictures = torch.from_numpy(levels.copy()).permute(2, 0, 1)[None, :, :136].float() / 255
    ours = (
        255 * degradations.jpeg(pictures, torch.tensor([float(quality)]))[0].permute(1, 2, 0).double().numpy()
    )
    theirs, levels = lost_by_pillow(levels[:136], quality), levels[:136]
    loss = np.sqrt(((theirs - levels) ** 2).mean())
    assert np.sqrt(((ours - levels) ** 2).mean()) == pytest.approx(loss, rel=0.1)
    assert np.sqrt(((ours - theirs) ** 2).mean()) < 0.6 * loss


def test_jpeg_blocks_and_samples_are_alone():
    pictures = random_pictures(2, 3, 32, 32)
    changed = pictures.clone()
    changed[0, :, :16, :16] = 0
    quality = torch.tensor([60.0, 80.0])
    difference = (degradations.jpeg(pictures, quality) != degradations.jpeg(changed, quality)).any(1)
    assert difference[0, :16, :16].any()
    assert not difference[0, 17:].any()  # chroma of neighbours is mixed at the edge of a block
    assert not difference[0, :, 17:].any()
    assert not difference[1].any()


@pytest.mark.parametrize("change", [degradations.jitter_exposure, degradations.defocus, degradations.haze])
def test_degraded_photographs_stay_in_range(change):
    pictures = random_pictures(8, 3, 24, 32)
    changed = change(sample_rng(0, 8), pictures.clone())
    assert changed.shape == pictures.shape
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert not torch.equal(changed, pictures)


def test_a_network_in_bf16_around_it_changes_no_picture():
    pictures, quality = random_pictures(2, 3, 16, 24), torch.tensor([60.0, 90.0])
    exact = degradations.jpeg(pictures, quality), degradations.defocus(sample_rng(0, 2), pictures)
    with torch.autocast("cpu", torch.bfloat16):
        within = degradations.jpeg(pictures, quality), degradations.defocus(sample_rng(0, 2), pictures)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(within, exact, strict=True))


def test_soften_keeps_brightness_and_lowers_contrast():
    pictures = random_pictures(4, 3, 32, 32)
    soft = degradations.defocus(sample_rng(0, 4), pictures)
    torch.testing.assert_close(soft.mean((1, 2, 3)), pictures.mean((1, 2, 3)), atol=0.02, rtol=0)
    assert (soft.std((1, 2, 3)) < 0.8 * pictures.std((1, 2, 3))).all()
    flat = torch.full((2, 3, 16, 16), 0.4)
    torch.testing.assert_close(degradations.defocus(sample_rng(0, 2), flat), flat)


def test_veil_draws_everything_towards_the_air():
    pictures = random_pictures(6, 3, 24, 24)
    veiled = degradations.haze(sample_rng(0, 6), pictures)
    assert (veiled.std((1, 2, 3)) < pictures.std((1, 2, 3))).all()
    dark = degradations.haze(sample_rng(0, 6), torch.zeros(6, 3, 24, 24))
    assert (dark.mean((1, 2, 3)) > 0.005).all()


def test_grain_has_no_mean_and_its_own_strength():
    noise = degradations.sensor_noise(sample_rng(0, 40), (48, 64))
    deviations = noise.std((1, 2, 3))
    assert noise.mean((1, 2, 3)).abs().max() < 0.002
    assert deviations.min() > 0.0015
    assert deviations.max() < 0.021
    assert deviations.max() > 2 * deviations.min()

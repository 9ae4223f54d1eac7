from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.networks.losses import (
    CHARBONNIER_EPSILON,
    FREQUENCY_WEIGHT,
    MASK_WEIGHT,
    PSNR_FLOOR,
    PSNR_WEIGHT,
    SCALE_WEIGHTS,
    charbonnier,
    frequency,
    mask_term,
    masked_psnr_term,
    psnr_term,
    reconstruction_terms,
    scale_terms,
    shrink,
    squared,
)
from tests.support.samples.students import random_pictures

DERAINED, CLEAN = random_pictures(2, 3, 12, 18, seed=1), random_pictures(2, 3, 12, 18, seed=2)
ERROR = (DERAINED.double() - CLEAN.double()).numpy()


def test_charbonnier_is_its_formula():
    expected = np.sqrt(ERROR**2 + CHARBONNIER_EPSILON**2).mean()
    assert float(charbonnier(DERAINED, CLEAN)) == pytest.approx(expected, rel=1e-6)


def test_frequency_is_the_l1_of_the_spectrum():
    spectrum = np.fft.rfft2(ERROR, norm="ortho")
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert float(frequency(DERAINED, CLEAN)) == pytest.approx(expected, rel=1e-5)


def loss(derained: Tensor, clean: Tensor) -> Tensor:
    return torch.stack(list(reconstruction_terms(derained, clean).values())).sum()


def test_the_frequency_term_is_weighted():
    terms = reconstruction_terms(DERAINED, CLEAN)
    torch.testing.assert_close(terms["charbonnier"], charbonnier(DERAINED, CLEAN))
    torch.testing.assert_close(terms["frequency"], FREQUENCY_WEIGHT * frequency(DERAINED, CLEAN))


def test_equal_pictures_lose_only_epsilon():
    assert float(loss(CLEAN, CLEAN)) == pytest.approx(CHARBONNIER_EPSILON, rel=1e-4)


def test_half_precision_is_computed_in_single():
    assert loss(DERAINED.bfloat16(), CLEAN).dtype == torch.float32


def test_the_gradient_is_finite_where_nothing_is_wrong():
    derained = CLEAN.clone().requires_grad_()
    loss(derained, CLEAN).backward()
    assert derained.grad is not None
    assert torch.isfinite(derained.grad).all()


def test_blocks_at_the_edge_are_averaged_over_what_is_there():
    pictures = torch.arange(15.0).reshape(1, 1, 3, 5)
    expected = torch.tensor([[[[3.0, 5.0, 6.5], [10.5, 12.5, 14.0]]]])
    torch.testing.assert_close(shrink(pictures, 2), expected)
    assert torch.equal(shrink(pictures, 1), pictures)


@pytest.mark.parametrize("error", [charbonnier, squared])
def test_scales_are_weighed_as_sums_of_pixels(error):
    """Weights 1, 0.8, 0.6, 0.4 on sums equal these weights on means, as each scale has a quarter of the pixels."""
    outputs = [random_pictures(2, 3, 16 >> level, 24 >> level, seed=level) for level in range(4)]
    clean = random_pictures(2, 3, 16, 24, seed=9)
    terms = scale_terms(outputs, clean, error)
    assert list(terms) == ["scale_1", "scale_2", "scale_4", "scale_8"]
    for level, (term, weight) in enumerate(zip(terms.values(), [1, 0.8, 0.6, 0.4], strict=True)):
        target = clean.reshape(2, 3, 16 >> level, 1 << level, 24 >> level, 1 << level).mean((3, 5))
        torch.testing.assert_close(term, weight / 4**level * error(outputs[level], target))


def test_fewer_scales_take_the_first_weights():
    assert list(scale_terms([DERAINED], CLEAN).values()) == [SCALE_WEIGHTS[0] * charbonnier(DERAINED, CLEAN)]


def test_the_mask_term_is_the_weighted_cross_entropy():
    logits = 4 * random_pictures(2, 1, 12, 18, seed=3) - 2
    rain_mask = (random_pictures(2, 1, 12, 18, seed=4) > 0.7).float()
    share, truth = torch.sigmoid(logits).double().numpy(), rain_mask.double().numpy()
    expected = -(truth * np.log(share) + (1 - truth) * np.log(1 - share)).mean()
    assert float(mask_term(logits, rain_mask)) == pytest.approx(MASK_WEIGHT * expected, rel=1e-5)


def test_a_coarse_mask_learns_the_share_of_each_cell():
    rain_mask = torch.zeros(1, 1, 4, 4)
    rain_mask[..., :2, :1] = 1
    logits = torch.zeros(1, 1, 2, 2, requires_grad=True)
    mask_term(logits, rain_mask).backward()
    expected = MASK_WEIGHT / 4 * (0.5 - torch.tensor([[[[0.5, 0.0], [0.0, 0.0]]]]))
    torch.testing.assert_close(logits.grad, expected)


def test_the_psnr_term_is_minus_the_mean_psnr_up_to_its_floor():
    error = (ERROR**2).mean(axis=(1, 2, 3))
    expected = PSNR_WEIGHT * (10 * np.log10(error + PSNR_FLOOR)).mean()
    assert float(psnr_term(DERAINED, CLEAN)) == pytest.approx(expected, rel=1e-5)
    assert float(psnr_term(CLEAN, CLEAN)) == pytest.approx(PSNR_WEIGHT * -50, rel=1e-5)


def test_a_photograph_counts_the_same_in_light_and_heavy_rain():
    """Halving the error of either of two photographs lowers the loss by the same amount."""
    light, heavy = CLEAN.clone(), CLEAN.clone()
    light[0] += 0.04
    heavy[0] += 0.2
    gains = [
        float(psnr_term(rainy, CLEAN) - psnr_term((rainy + CLEAN) / 2, CLEAN)) for rainy in (light, heavy)
    ]
    assert gains[0] == pytest.approx(gains[1], rel=0.05)
    assert gains[1] == pytest.approx(PSNR_WEIGHT * 20 * np.log10(2) / 2, rel=0.01)


def test_confidence_weighs_every_pixel():
    derained, target = torch.full((1, 3, 4, 4), 0.5), torch.full((1, 3, 4, 4), 0.7)
    confidence = torch.zeros(1, 1, 4, 4)
    assert masked_psnr_term(derained, target, confidence) == 0
    confidence[..., :2] = 1
    target[..., 2:] = 0  # not trusted there
    trusted = psnr_term(derained[..., :2], target[..., :2])
    assert float(masked_psnr_term(derained, target, confidence)) == pytest.approx(0.5 * float(trusted))

from __future__ import annotations

import numpy as np
import pytest
import torch

from models.losses import CHARBONNIER_EPSILON, FREQUENCY_WEIGHT, charbonnier, derain_loss, frequency
from tests.students import random_pictures

DERAINED, CLEAN = random_pictures(2, 3, 12, 18, seed=1), random_pictures(2, 3, 12, 18, seed=2)
ERROR = (DERAINED.double() - CLEAN.double()).numpy()


def test_charbonnier_is_its_formula():
    expected = np.sqrt(ERROR**2 + CHARBONNIER_EPSILON**2).mean()
    assert float(charbonnier(DERAINED, CLEAN)) == pytest.approx(expected, rel=1e-6)


def test_frequency_is_the_l1_of_the_spectrum():
    spectrum = np.fft.rfft2(ERROR, norm="ortho")
    expected = (np.abs(spectrum.real).mean() + np.abs(spectrum.imag).mean()) / 2
    assert float(frequency(DERAINED, CLEAN)) == pytest.approx(expected, rel=1e-5)


def test_the_sum_is_weighted():
    expected = charbonnier(DERAINED, CLEAN) + FREQUENCY_WEIGHT * frequency(DERAINED, CLEAN)
    torch.testing.assert_close(derain_loss(DERAINED, CLEAN), expected)


def test_equal_pictures_lose_only_epsilon():
    assert float(derain_loss(CLEAN, CLEAN)) == pytest.approx(CHARBONNIER_EPSILON, rel=1e-4)


def test_half_precision_is_computed_in_single():
    assert derain_loss(DERAINED.bfloat16(), CLEAN).dtype == torch.float32


def test_the_gradient_is_finite_where_nothing_is_wrong():
    derained = CLEAN.clone().requires_grad_()
    derain_loss(derained, CLEAN).backward()
    assert derained.grad is not None
    assert torch.isfinite(derained.grad).all()

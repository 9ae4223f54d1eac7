from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.losses import CHARBONNIER_EPSILON, FREQUENCY_WEIGHT, charbonnier, frequency, reconstruction_terms
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

"""Scaling of terms to a share of another term's gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.training.semi.gradient_share import RAMP_STEPS, GradientShare, ramp

SIZES = st.floats(1e-6, 1e6)


@given(SIZES, SIZES, st.floats(0.01, 2.0))
def test_the_gradient_has_the_share_that_is_asked_for_however_large_the_terms_are(
    reference: float, size: float, share: float
) -> None:
    derained = torch.full((2, 3, 4, 4), 0.5, requires_grad=True)
    judged = torch.full((1, 3, 4, 4), 0.25, requires_grad=True)
    scale = GradientShare.of(reference * judged.square().sum(), judged)
    scaled = scale.scaled(size * derained.sum(), derained, share)
    (gradient,) = torch.autograd.grad(scaled, derained)
    expected = share * reference * 2 * 0.25 * judged.numel() ** 0.5  # of the sum of squares: 2 x
    assert gradient.norm().item() == pytest.approx(expected, rel=1e-4)


def test_a_term_without_a_gradient_is_zero() -> None:
    derained = torch.ones(1, 3, 4, 4, requires_grad=True)
    scale = GradientShare.of(derained.sum(), derained)
    assert scale.scaled((0 * derained).sum() + 7, derained, 0.5).item() == 0


def test_shares_grow_to_the_whole() -> None:
    assert [ramp(step) for step in (0, RAMP_STEPS - 1, 10 * RAMP_STEPS)] == [1 / RAMP_STEPS, 1.0, 1.0]

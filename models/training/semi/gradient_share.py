"""Weights by gradient (`GradientShare`): the gradient of a term is scaled to a share of another term's.

A constant weight does not work for contrast terms: the gradient of InfoNCE depends on how far the embedding is
trained, and that of a ratio on how heavy the rain is, so that they dominate one step and hardly matter in the next.
The method follows GradNorm (Chen et al., ICML 2018), but with a fixed share, and measures gradients at the derained
photographs, which needs no backward pass through the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RAMP_STEPS = 50
"""Number of steps until a contrast has its full share: at first its embedding is hardly trained."""


@dataclass(frozen=True, slots=True)
class GradientShare:
    """Scales terms to a share of a reference gradient."""

    reference: Tensor
    """Norm of the gradient that shares refer to, a scalar."""

    @classmethod
    def of(cls, term: Tensor, derained: Tensor) -> GradientShare:
        """Measure the reference: the gradient of a term with respect to the derained photographs (B, 3, H, W)."""
        return cls(_gradient_norm(term, derained))

    def scaled(self, term: Tensor, derained: Tensor, share: float) -> Tensor:
        """Scale a term so that the norm of its gradient with respect to `derained` is `share` of the reference.

        The factor is a constant: no gradient passes through it. A term without a gradient, because no photograph
        has enough rain, becomes 0.
        """
        norm = _gradient_norm(term, derained)
        factor: Tensor = torch.where(
            norm > 0, share * self.reference / norm.clamp(min=torch.finfo(norm.dtype).tiny), 0.0
        )
        return factor * term


def ramp(step: int) -> float:
    """Return the factor of a contrast's share at a step, counted from 0: a linear rise to 1."""
    return min(1.0, (step + 1) / RAMP_STEPS)


def _gradient_norm(term: Tensor, derained: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(term, derained, retain_graph=True)
    norm: Tensor = torch.linalg.vector_norm(gradient.float())
    return norm.detach()

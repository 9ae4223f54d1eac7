"""Weights by gradient (`GradientShare`): the pull of one term on derained photographs is a share of another's.

A constant weight does not do for contrast terms: the gradient of InfoNCE depends on how far the embedding is
trained, and that of a ratio on how heavy the rain is, so that one step is dominated by them and the next ignores
them. After GradNorm (Chen et al., ICML 2018), but with a fixed share, and measured at the derained photographs,
which needs no pass back through the network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

RAMP_STEPS = 50
"""Steps after which a contrast has its whole share: before, its embedding is hardly trained."""


@dataclass(frozen=True, slots=True)
class GradientShare:
    """Scales terms to a share of a reference gradient."""

    reference: Tensor
    """Norm of the gradient that shares refer to, a scalar."""

    @classmethod
    def of(cls, term: Tensor, derained: Tensor) -> GradientShare:
        """Measure the reference: the gradient of a term with respect to the photographs (B, 3, H, W) it judges."""
        return cls(_gradient_norm(term, derained))

    def scaled(self, term: Tensor, derained: Tensor, share: float) -> Tensor:
        """Scale a term so that the norm of its gradient with respect to `derained` is `share` of the reference.

        The factor is a constant of the step: no gradient passes through it. A term without a gradient, as where no
        photograph has enough rain, becomes 0.
        """
        norm = _gradient_norm(term, derained)
        factor: Tensor = torch.where(
            norm > 0, share * self.reference / norm.clamp(min=torch.finfo(norm.dtype).tiny), 0.0
        )
        return factor * term


def ramp(step: int) -> float:
    """Return the factor of a contrast's share at a step from 0 on: linear up to 1."""
    return min(1.0, (step + 1) / RAMP_STEPS)


def _gradient_norm(term: Tensor, derained: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(term, derained, retain_graph=True)
    norm: Tensor = torch.linalg.vector_norm(gradient.float())
    return norm.detach()

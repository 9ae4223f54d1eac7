"""What training minimises: Charbonnier on pixels plus an L1 term on the spectrum."""

from __future__ import annotations

import torch
from torch import Tensor

CHARBONNIER_EPSILON = 1e-3
"""Where the loss turns from squared to absolute error, in grey levels of [0, 1]."""
FREQUENCY_WEIGHT = 0.05


def charbonnier(derained: Tensor, clean: Tensor) -> Tensor:
    """Mean of sqrt(error^2 + epsilon^2): L1 that is smooth at zero (Charbonnier et al., 1994)."""
    return torch.sqrt((derained - clean).square() + CHARBONNIER_EPSILON**2).mean()


def frequency(derained: Tensor, clean: Tensor) -> Tensor:
    """Mean absolute difference of the orthonormal Fourier transforms, real and imaginary parts."""
    spectrum = torch.fft.rfft2(derained - clean, norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def reconstruction_terms(derained: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Charbonnier and the weighted frequency term, for (B, 3, H, W) floats in [0, 1]; their sum is the loss."""
    derained, clean = derained.float(), clean.float()
    return {
        "charbonnier": charbonnier(derained, clean),
        "frequency": FREQUENCY_WEIGHT * frequency(derained, clean),
    }

"""Loss terms: Charbonnier on pixels and L1 on the spectrum (`reconstruction_terms`), PSNR, and AFR-Net's terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

CHARBONNIER_EPSILON = 1e-3
"""Error at which the loss turns from squared to absolute, in grey levels of [0, 1]."""
FREQUENCY_WEIGHT = 0.05
PSNR_WEIGHT = 1e-3
"""Brings the gradients of `psnr_term` to the size of Charbonnier's."""
PSNR_FLOOR = 1e-5
"""Squared error, 50 dB, below which the loss levels off."""
LEAST_TRUSTED = 1e-3
"""Lower bound of the trusted share of a photograph when it is a divisor."""
SCALE_WEIGHTS = (1.0, 0.2, 0.0375, 0.00625)
"""Weights of AFR-Net's outputs at scale 1, 1/2, 1/4, 1/8 (Wang, Sun, Sowmya, 2021; 1, 0.8, 0.6, 0.4 on sums)."""
MASK_WEIGHT = 0.033
"""Weight of AFR-Net's rain mask (0.1 on a sum)."""


def charbonnier(derained: Tensor, clean: Tensor) -> Tensor:
    """Return the mean of sqrt(error^2 + epsilon^2): L1 that is smooth at zero (Charbonnier et al., 1994)."""
    return torch.sqrt((derained - clean).square() + CHARBONNIER_EPSILON**2).mean()


def frequency(derained: Tensor, clean: Tensor) -> Tensor:
    """Return the mean absolute difference of the orthonormal Fourier transforms, over real and imaginary parts."""
    spectrum = torch.fft.rfft2(derained - clean, norm="ortho")
    return torch.view_as_real(spectrum).abs().mean()


def psnr_term(derained: Tensor, clean: Tensor) -> Tensor:
    """Return -PSNR over the three channels, averaged over photographs and weighted; levels off near 50 dB.

    A decibel of light rain counts as much as one of heavy rain.
    """
    error = (derained.float() - clean.float()).square().mean(dim=(1, 2, 3))
    return PSNR_WEIGHT * 10 * torch.log10(error + PSNR_FLOOR).mean()


def masked_psnr_term(derained: Tensor, target: Tensor, confidence: Tensor) -> Tensor:
    """Return `psnr_term` over the trusted pixels of a target, times their share.

    Photographs are (B, 3, H, W); `confidence` is (B, 1, H, W) in [0, 1].
    """
    share = confidence.mean(dim=(1, 2, 3))
    error = (confidence * (derained.float() - target.float()).square()).mean(dim=(1, 2, 3))
    return (
        PSNR_WEIGHT * 10 * (share * torch.log10(error / share.clamp(min=LEAST_TRUSTED) + PSNR_FLOOR)).mean()
    )


def reconstruction_terms(derained: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Return Charbonnier and the weighted frequency term of (B, 3, H, W) in [0, 1]; their sum is the loss."""
    derained, clean = derained.float(), clean.float()
    return {
        "charbonnier": charbonnier(derained, clean),
        "frequency": FREQUENCY_WEIGHT * frequency(derained, clean),
    }


def psnr_terms(derained: Tensor, clean: Tensor) -> dict[str, Tensor]:
    """Return PSNR per photograph alone, the loss after the warm-up, of (B, 3, H, W) floats in [0, 1]."""
    return {"psnr": psnr_term(derained, clean)}


Reconstruction = Callable[[Tensor, Tensor], dict[str, Tensor]]
"""Named, weighted terms of derained and clean photographs: `reconstruction_terms` or `psnr_terms`."""


def squared(derained: Tensor, clean: Tensor) -> Tensor:
    """Return the mean squared error, which AFR-Net's paper minimises."""
    return (derained - clean).square().mean()


def shrink(pictures: Tensor, factor: int) -> Tensor:
    """Average blocks of `factor` x `factor` pixels; those at the right and lower edges may be smaller."""
    return F.avg_pool2d(pictures, factor, ceil_mode=True) if factor > 1 else pictures


def scale_terms(
    derained: Sequence[Tensor], clean: Tensor, error: Callable[[Tensor, Tensor], Tensor] = charbonnier
) -> dict[str, Tensor]:
    """Return the weighted errors at scale 1, 1/2, 1/4, 1/8 (or the first of these); their sum is the loss.

    Parameters
    ----------
    derained : sequence of Tensor
        (B, 3, ceil(H / 2^i), ceil(W / 2^i)), floats in [0, 1], finest first.
    clean : Tensor
        (B, 3, H, W), floats in [0, 1].
    error : callable
        `charbonnier`, or `squared` as in the paper.
    """
    return {
        f"scale_{2**level}": weight * error(output.float(), shrink(clean.float(), 2**level))
        for level, (output, weight) in enumerate(zip(derained, SCALE_WEIGHTS, strict=False))
    }


def mask_term(logits: Tensor, rain_mask: Tensor) -> Tensor:
    """Return the weighted cross-entropy of a rain mask.

    Parameters
    ----------
    logits : Tensor
        (B, 1, h, w).
    rain_mask : Tensor
        (B, 1, H, W) of 0 and 1. If it is larger than the logits, the target is the share of each cell that is rain.
    """
    target = F.interpolate(rain_mask.float(), size=logits.shape[-2:], mode="area")
    return MASK_WEIGHT * F.binary_cross_entropy_with_logits(logits.float(), target)

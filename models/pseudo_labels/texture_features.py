"""Distance of a photograph from clean training photographs, in features of a fixed filter bank (`fit_features`).

Ours, and independent of every network. The features measure thin lines of three widths in four directions: their
strength, and how much more often they are bright than dark. Rain makes lines stronger and brighter, a blur weaker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

SIGMAS = (0.8, 1.6, 3.2)
"""Widths of the lines to measure, in pixels."""
ANGLES = 4
SHRINKAGE = 0.1
"""Weight of an isotropic covariance that is mixed in, so that few photographs suffice."""
LEAST_PHOTOGRAPHS = 8


@dataclass(frozen=True, slots=True)
class LabelledFeatures:
    """Distribution of the labelled photographs: mean (D,) and inverse covariance (D, D) of their features."""

    mean: Tensor
    precision: Tensor

    def distance(self, photograph: Tensor) -> float:
        """Return the Mahalanobis distance of (3, H, W), about 1 for a labelled photograph."""
        offset = texture_features(photograph) - self.mean
        return math.sqrt(float(offset @ self.precision @ offset) / len(offset))


def fit_features(photographs: Sequence[Tensor]) -> LabelledFeatures:
    """Fit the distribution of labelled clean photographs, (3, H, W) floats in [0, 1] each.

    Raises
    ------
    ValueError
        If there are fewer than `LEAST_PHOTOGRAPHS`.
    """
    if len(photographs) < LEAST_PHOTOGRAPHS:
        raise ValueError(f"{len(photographs)} labelled photographs; at least {LEAST_PHOTOGRAPHS} are needed")
    features = torch.stack([texture_features(each) for each in photographs])
    covariance = torch.cov(features.T)
    dimensions = len(covariance)
    isotropic = torch.eye(dimensions, device=covariance.device) * covariance.diagonal().mean()
    return LabelledFeatures(
        features.mean(0), torch.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * isotropic)
    )


def texture_features(photograph: Tensor) -> Tensor:
    """Return strength and skewness of lines of every width and angle, (24,), in (3, H, W) floats in [0, 1]."""
    grey = photograph.mean(0)[None, None]
    parts = []
    for sigma in SIGMAS:
        lines = F.conv2d(grey, _line_filters(sigma).to(grey.device))[0].flatten(1)  # (angles, pixels)
        spread = lines.square().mean(1).sqrt().clamp(min=1e-4)
        skewness = (lines / spread[:, None]).pow(3).mean(1)
        parts += [spread.log(), skewness.sign() * skewness.abs().log1p()]
    return torch.cat(parts)


def _line_filters(sigma: float) -> Tensor:
    """Build negated second derivatives of a gaussian across lines at each angle: (angles, 1, K, K), sum 0."""
    radius = math.ceil(3 * sigma)
    place = torch.arange(-radius, radius + 1, dtype=torch.float32)
    filters = []
    for number in range(ANGLES):
        angle = math.pi * number / ANGLES
        across = place[:, None] * math.sin(angle) + place[None, :] * math.cos(angle)
        window = torch.exp(-0.5 * (place[:, None] ** 2 + place[None, :] ** 2) / sigma**2)
        line = (1 - (across / sigma) ** 2) * window
        line = line - line.mean()
        filters.append(line / line.abs().sum())
    return torch.stack(filters)[:, None]

"""Feature terms of distillation (`FeatureMatch`, `attention_distance`), which compare student and teacher.

A reconstruction: the student has no refinement at test time, so it learns the effect of the teacher's refinement in
its own features, at the decoder and the bottleneck, which see enough of the photograph.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SHORTEST_MEMORY = 0.01
"""Weight of a new batch in the running statistics after the first hundred batches."""


class RunningNorm(nn.Module):
    """Normalise features to mean 0 and deviation 1 per channel by running statistics."""

    mean: Tensor
    variance: Tensor
    seen: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def forward(self, features: Tensor) -> Tensor:
        """Update the statistics with a batch (B, width, h, w), then normalise the batch by them."""
        features = features.float()
        self.seen += 1
        share = (1 / self.seen).clamp(min=SHORTEST_MEMORY)
        mean = features.mean(dim=(0, 2, 3))
        self.mean.lerp_(mean, share)
        spread = (features - self.mean[:, None, None]).square().mean(dim=(0, 2, 3))
        self.variance.lerp_(spread, share)
        return (features - self.mean[:, None, None]) / (self.variance[:, None, None] + 1e-6).sqrt()


class FeatureMatch(nn.Module):
    """Distance between a student's features, projected by 1x1 convolutions, and its teacher's normalised features.

    sum_i mean[(1 + emphasis * m) * |P_i(D_i) - (RE_i - mu_i) / sigma_i|] over the scales i that both networks have;
    m is the teacher's rain mask.

    Parameters
    ----------
    student, teacher : mapping
        Their `Network.feature_widths`.
    emphasis : float
        Additional weight of cells in the rain.
    """

    def __init__(self, student: Mapping[int, int], teacher: Mapping[int, int], emphasis: float) -> None:
        super().__init__()
        self.emphasis = emphasis
        self.cells = sorted(student.keys() & teacher.keys())
        self.projections = nn.ModuleDict(
            {str(cell): nn.Conv2d(student[cell], teacher[cell], 1) for cell in self.cells}
        )
        self.norms = nn.ModuleDict({str(cell): RunningNorm(teacher[cell]) for cell in self.cells})

    def forward(
        self, student: Mapping[int, Tensor], teacher: Mapping[int, Tensor], rain_mask: Tensor
    ) -> Tensor:
        """Return the distance of features (B, C, h, w), by cell width in pixels, under a mask (B, 1, H, W)."""
        total = rain_mask.new_zeros((), dtype=torch.float32)
        for cell in self.cells:
            target = self.norms[str(cell)](teacher[cell])
            distance = (self.projections[str(cell)](student[cell]).float() - target).abs()
            rain = F.interpolate(rain_mask.float(), size=target.shape[-2:], mode="area")
            total = total + ((1 + self.emphasis * rain) * distance).mean()
        return total


def attention_distance(student: Mapping[int, Tensor], teacher: Mapping[int, Tensor]) -> Tensor:
    """Return the squared distance of normalised attention maps, summed over the scales that both networks have.

    A map is the mean over channels of squared features, (B, h w), scaled to length 1: attention transfer
    (Zagoruyko and Komodakis, ICLR 2017).
    """
    distances = [
        (_attention(student[cell]) - _attention(teacher[cell])).square().sum(dim=1).mean()
        for cell in sorted(student.keys() & teacher.keys())
    ]
    return torch.stack(distances).sum()


def _attention(features: Tensor) -> Tensor:
    return F.normalize(features.float().square().mean(dim=1).flatten(1), dim=1)

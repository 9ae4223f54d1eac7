"""Targets that a network makes for itself, and how far they are believed.

All of it can go wrong together: a teacher that leaves rain teaches to leave it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.base import Network
from models.networks.losses import PSNR_FLOOR, PSNR_WEIGHT
from models.pairs import FAINTEST_RAIN
from models.structure_tensor import structure_tensor

RAMP = 5.0
"""Ramp of the trust in a mean teacher: exp(-5) at the start, 1 at the end (Tarvainen and Valpola, 2017)."""
RAIN_REACH = 7
"""Side in pixels of the square that a found streak is widened to: what lies further off is background."""
LEAST_ANISOTROPY = 0.5
"""Least anisotropy of what a teacher finds in a shrunk photograph; less is no streak."""
TRUSTED = 1e-3
"""Least share of a photograph that is divided by."""


class MeanTeacher(nn.Module):
    """A moving average of the network in training; it never gets a gradient."""

    def __init__(self, start: Network) -> None:
        super().__init__()
        self.network = start.eval().requires_grad_(False)

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float) -> None:
        """Keep this share of the average and take the rest from the network."""
        current = [parameter.detach() for parameter in network.parameters()]
        torch._foreach_lerp_(list(self.network.parameters()), current, 1 - decay)
        for ours, theirs in zip(self.network.buffers(), network.buffers(), strict=True):
            ours.copy_(theirs)

    @torch.no_grad()
    def forward(self, rainy: Tensor, scales: Sequence[float] = (1.0,)) -> Tensor:
        """Derain (B, 3, H, W), looking for rain at several sizes; the most that any of them finds counts.

        What is found at a smaller size counts only where it is drawn out as streaks are.
        """
        streaks = [self._streaks(rainy, scale) for scale in scales]
        most = streaks[0]
        for smaller in streaks[1:]:
            most = torch.maximum(most, smaller * _is_streak(smaller))
        return rainy - most

    def _streaks(self, rainy: Tensor, scale: float) -> Tensor:
        if scale == 1:
            found: Tensor = rainy - self.network(rainy)
            return found
        size = [round(scale * side) for side in rainy.shape[-2:]]
        shrunk = F.interpolate(rainy, size, mode="bilinear", antialias=True, align_corners=False)
        smaller = (shrunk - self.network(shrunk)).float()
        return F.interpolate(smaller, rainy.shape[-2:], mode="bilinear", align_corners=False)


def _is_streak(streaks: Tensor) -> Tensor:
    """Mark where rain layers (B, 3, H, W) are drawn out in one direction, (B, 1, H, W)."""
    drawn_out = structure_tensor(streaks.mean(1)).anisotropy[:, None]
    return (F.pad(drawn_out, (0, 1, 0, 1), mode="replicate") > LEAST_ANISOTROPY).float()


def trust(step: int, steps: int) -> float:
    """Return exp(-5 (1 - t/T)^2): how far a mean teacher is trusted at a step."""
    return math.exp(-RAMP * (1 - min(step / max(steps, 1), 1)) ** 2)


def confident(derained: Tensor, target: Tensor, confidence: Tensor) -> Tensor:
    """PSNR to a target where it is trusted (`models.networks.losses.psnr_term`), times the trusted share.

    (B, 3, H, W) twice, and confidence (B, 1, H, W) in [0, 1].
    """
    share = confidence.mean(dim=(1, 2, 3))
    error = (confidence * (derained.float() - target.float()).square()).mean(dim=(1, 2, 3))
    return PSNR_WEIGHT * 10 * (share * torch.log10(error / share.clamp(min=TRUSTED) + PSNR_FLOOR)).mean()


def identity_loss_outside_rain(derained: Tensor, rainy: Tensor) -> Tensor:
    """L1 of derained photographs to their input where no rain was found.

    Only there: everywhere it would reward leaving rain. Ours, against collapse.
    """
    outside = 1 - found_rain(derained.detach(), rainy)
    return (outside * (derained.float() - rainy).abs()).mean()


def found_rain(derained: Tensor, rainy: Tensor) -> Tensor:
    """Mark where a network found rain, widened by some pixels, (B, 1, H, W) of 0 and 1."""
    streaks = (rainy - derained).float().clamp(min=0).mean(1, keepdim=True)
    threshold = streaks.mean(dim=(1, 2, 3), keepdim=True).clamp(min=FAINTEST_RAIN)
    return F.max_pool2d((streaks > threshold).float(), RAIN_REACH, 1, RAIN_REACH // 2)

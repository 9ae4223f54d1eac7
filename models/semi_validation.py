"""What weights are chosen by where the rain that counts has no labels."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from torch import nn

from models.draws import Draws
from models.rerain import rerained
from models.semi_data import RealRain
from models.validation import VALIDATION_SEED, ValidationSet, mean_psnr_y, validate

MOST_TEMPORAL = 20
"""Temporal backgrounds that are judged by, at most."""


@dataclass(frozen=True, slots=True)
class SemiScore:
    """Mean psnr_y in dB on held-out photographs: under rendered rain, without rain, under held-out real streaks."""

    light: float
    heavy: float
    fine: float
    none: float
    rerained: float
    temporal: float = math.nan
    """On held-out temporal backgrounds, where there are any."""

    @property
    def overall(self) -> float:
        """What weights are chosen by: real rain counts as much as all rendered rain. Ours."""
        rendered = (self.light + self.heavy + self.fine) / 3
        real = [score for score in (self.rerained, self.temporal) if not math.isnan(score)]
        return (rendered + fmean(real)) / 2 + 0.05 * self.none

    def __str__(self) -> str:
        return ", ".join(f"{kind} {score:.2f}" for kind, score in asdict(self).items()) + " dB"


def score(network: nn.Module, pairs: ValidationSet, data: RealRain) -> SemiScore:
    """Score weights on rendered rain, on held-out real streaks on the same photographs, on temporal backgrounds."""
    bank, temporal = data.held_out_streaks, data.held_out_temporal
    rained = [
        rerained(Draws(VALIDATION_SEED, torch.tensor([number], device=bank.pixels.device)), bank, pair.clean)
        for number, pair in enumerate(pairs.none)
    ]
    figures = {"rerained": mean_psnr_y(network, rained)}
    if temporal is not None:
        stills = [temporal.pair(number) for number in range(min(len(temporal), MOST_TEMPORAL))]
        figures["temporal"] = mean_psnr_y(network, stills)
    return SemiScore(**asdict(validate(network, pairs)), **figures)

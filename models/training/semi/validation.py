"""Validation scores that select weights on real rain without labels (`score`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from torch import nn

from models.evaluation.metrics import psnr_y
from models.evaluation.validation import (
    CLEAN_CEILING,
    VALIDATION_SEED,
    ValidationScore,
    ValidationSet,
    mean_psnr_y,
    validate,
)
from models.images import to_rgb
from models.rain.real_streaks import rerained
from models.rng import SampleRng
from models.training.semi.data import RealRain, Targets

MOST_TEMPORAL = 20
"""Largest number of temporal backgrounds in a validation."""


@dataclass(frozen=True, slots=True)
class SemiScore(ValidationScore):
    """`ValidationScore`, and mean psnr_y in dB under held-out real streaks."""

    rerained: float

    @property
    def real(self) -> float:
        """Mean over the kinds of real rain."""
        return self.rerained

    @property
    def overall(self) -> float:
        """Score that selects weights (ours): real rain counts as much as all rendered rain."""
        return (self.rendered + self.real) / 2 + 0.05 * self.none


@dataclass(frozen=True, slots=True)
class TemporalScore(SemiScore):
    """`SemiScore`, and mean psnr_y in dB against temporal backgrounds of held-out scenes."""

    temporal: float

    @property
    def real(self) -> float:
        """Mean over the kinds of real rain."""
        return (self.rerained + self.temporal) / 2


def score(network: nn.Module, pairs: ValidationSet, data: RealRain) -> SemiScore:
    """Score weights on rendered rain, the same photographs with held-out streaks, and temporal backgrounds."""
    bank, temporal = data.held_out_streaks, data.held_out_temporal
    rained = [
        rerained(
            SampleRng(VALIDATION_SEED, torch.tensor([number], device=bank.pixels.device)), bank, pair.clean
        )
        for number, pair in enumerate(pairs.none)
    ]
    figures = SemiScore(**asdict(validate(network, pairs)), rerained=mean_psnr_y(network, rained))
    if temporal is None:
        return figures
    return TemporalScore(**asdict(figures), temporal=_compared_with_backgrounds(network, temporal))


@torch.inference_mode()
def _compared_with_backgrounds(network: nn.Module, backgrounds: Targets) -> float:
    """Return the mean psnr_y in dB against backgrounds; only trusted pixels count."""
    scores = []
    for number in range(min(len(backgrounds), MOST_TEMPORAL)):
        rainy, target, confidence = backgrounds.whole(number)
        judged = target.lerp(network(rainy).float(), confidence)
        scores.append(min(psnr_y(to_rgb(judged[0]), to_rgb(target[0])), CLEAN_CEILING))
    return fmean(scores)

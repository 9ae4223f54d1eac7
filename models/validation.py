"""The validation set that selects checkpoints: held-out photographs under held-out rain, rendered once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor, nn

from models.banks import TrainingData
from models.draws import Draws
from models.metrics import Image, psnr_y
from models.pairs import RainyPair
from models.rain import RECIPES, whole_pair

VALIDATION_SEED = 20_260_000
CLEAN_CEILING = 60.0
"""PSNR of an untouched photograph is infinite; the mean counts it as this."""


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """Mean psnr_y in dB on held-out photographs under three kinds of rain."""

    light: float
    heavy: float
    none: float

    @property
    def overall(self) -> float:
        """What checkpoints are selected by: light and heavy rain count, clean photographs a little."""
        return (self.light + self.heavy) / 2 + 0.05 * self.none

    def __str__(self) -> str:
        return f"light {self.light:.2f}, heavy {self.heavy:.2f}, none {self.none:.2f} dB"


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Rendered pairs by kind of rain."""

    light: Sequence[RainyPair]
    heavy: Sequence[RainyPair]
    none: Sequence[RainyPair]


def render_validation(data: TrainingData, count: int) -> ValidationSet:
    """Render up to `count` pairs of each kind from held-out data, always the same ones."""
    recorded = [i for i, layer in enumerate(data.layer_of.tolist()) if layer >= 0][:count]
    photographs = list(range(min(count, len(data.photographs))))
    return ValidationSet(
        light=_render(data, "light", recorded or photographs),
        heavy=_render(data, "heavy", photographs),
        none=_render(data, "none", photographs),
    )


def validate(student: nn.Module, pairs: ValidationSet) -> ValidationScore:
    """Score a student on the validation set."""
    return ValidationScore(*(_mean_psnr(student, kind) for kind in (pairs.light, pairs.heavy, pairs.none)))


def _render(data: TrainingData, recipe: str, photographs: Sequence[int]) -> list[RainyPair]:
    device = data.photographs.pixels.device
    return [
        whole_pair(data, Draws(VALIDATION_SEED, torch.tensor([photo], device=device)), RECIPES[recipe], photo)
        for photo in photographs
    ]


@torch.inference_mode()
def _mean_psnr(student: nn.Module, pairs: Sequence[RainyPair]) -> float:
    scores = (psnr_y(as_uint8(student(pair.rainy)[0]), as_uint8(pair.clean[0])) for pair in pairs)
    return fmean(min(score, CLEAN_CEILING) for score in scores)


def as_uint8(picture: Tensor) -> Image:
    """Round one (3, H, W) picture of floats to (H, W, 3) uint8."""
    scaled = picture.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return scaled.permute(1, 2, 0).cpu().numpy()

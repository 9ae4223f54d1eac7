"""The validation set that selects checkpoints (`render_validation`): held-out photographs with held-out rain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from models.evaluation.metrics import psnr_y
from models.images import RgbImage, to_rgb
from models.pairs import RainyPair
from models.rain.banks import TrainingData
from models.rain.recipes import RECIPES
from models.rain.synthesis import whole_pair
from models.rng import SampleRng

VALIDATION_SEED = 20_260_000
REVISION = 2
"""Raised whenever the same data give another validation set, whose scores cannot be compared with earlier ones."""
KINDS = ("light", "heavy", "fine", "faint", "drops", "none")
"""Kinds of rain in the validation set, named after their recipes."""
CLEAN_CEILING = 60.0
"""Largest PSNR that counts in a mean, dB: that of an untouched photograph is infinite."""


class Score(Protocol):
    """Scores of a network on validation data: a dataclass of figures that prints as one line."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def overall(self) -> float:
        """Score that selects checkpoints, dB."""


class RenderedScore(Score, Protocol):
    """A score with a mean under rendered rain."""

    @property
    def rendered(self) -> float:
        """Mean psnr_y over the kinds of rendered rain, dB."""


@dataclass(frozen=True, slots=True)
class ValidationScore:
    """Mean psnr_y in dB on held-out photographs under six kinds of rain, named as their recipes are."""

    light: float
    heavy: float
    fine: float
    faint: float
    drops: float
    none: float

    @property
    def rendered(self) -> float:
        """Mean over the kinds of streaks."""
        return (self.light + self.heavy + self.fine + self.faint) / 4

    @property
    def overall(self) -> float:
        """Score that selects checkpoints: all streaks count equally, clean photographs a little, drops nothing."""
        return self.rendered + 0.05 * self.none

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {score:.2f}" for kind, score in asdict(self).items())
        return f"{kinds} dB"


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Rendered pairs by kind of rain."""

    light: Sequence[RainyPair]
    heavy: Sequence[RainyPair]
    fine: Sequence[RainyPair]
    faint: Sequence[RainyPair]
    drops: Sequence[RainyPair]
    none: Sequence[RainyPair]

    def by_kind(self) -> dict[str, Sequence[RainyPair]]:
        """Return the pairs by kind of rain."""
        return {kind: getattr(self, kind) for kind in KINDS}


def render_validation(data: TrainingData, count: int) -> ValidationSet:
    """Render up to `count` pairs of each kind from held-out data; the result is always the same."""
    recorded = [i for i, layer in enumerate(data.layer_of.tolist()) if layer >= 0][:count]
    photographs = list(range(min(count, len(data.photographs))))
    return ValidationSet(
        light=_render(data, "light", recorded or photographs),
        heavy=_render(data, "heavy", photographs),
        fine=_render(data, "fine", photographs),
        faint=_render(data, "faint", photographs),
        drops=_render(data, "drops", photographs),
        none=_render(data, "none", photographs),
    )


def validate(network: Callable[[Tensor], Tensor], pairs: ValidationSet) -> ValidationScore:
    """Score a network, or any function that derains (B, 3, H, W), on the validation set."""
    return ValidationScore(
        **{kind: mean_psnr_y(network, rendered) for kind, rendered in pairs.by_kind().items()}
    )


def score_input(pairs: ValidationSet) -> ValidationScore:
    """Score the rainy photographs themselves, as the baseline of a network."""
    return validate(lambda rainy: rainy, pairs)


def before_after(network: nn.Module, pairs: ValidationSet) -> dict[str, RgbImage]:
    """Return rainy, derained and clean side by side for the first pair of each kind of rain."""
    return {kind: _side_by_side(network, rendered[0]) for kind, rendered in pairs.by_kind().items()}


@torch.inference_mode()
def _side_by_side(network: nn.Module, pair: RainyPair) -> RgbImage:
    return to_rgb(torch.cat([pair.rainy[0], network(pair.rainy)[0], pair.clean[0]], dim=-1))


def _render(data: TrainingData, recipe: str, photographs: Sequence[int]) -> list[RainyPair]:
    device = data.photographs.pixels.device
    return [
        whole_pair(
            data, SampleRng(VALIDATION_SEED, torch.tensor([photo], device=device)), RECIPES[recipe], photo
        )
        for photo in tqdm(photographs, desc=f"rendering {recipe} rain", disable=None, leave=False)
    ]


@torch.inference_mode()
def mean_psnr_y(network: Callable[[Tensor], Tensor], pairs: Sequence[RainyPair]) -> float:
    """Return the mean psnr_y in dB of a network over pairs of one photograph each."""
    scores = (psnr_y(to_rgb(network(pair.rainy)[0]), to_rgb(pair.clean[0])) for pair in pairs)
    return fmean(min(score, CLEAN_CEILING) for score in scores)

"""Scores of a derained real photograph without ground truth (`layer_score`, `confidence`, `combined_score`). Ours.

No score relies on the judged network alone: consistency is blind to rain that a network leaves, and a network that
changes nothing is perfectly consistent. A network that changes nothing, blurs or smooths scores 0, or less than a
good one. Where no rain was found there is no score: that is not evidence of a clean photograph.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.evaluation.probes import ProbeScore
from models.pseudo_labels.layer_maps import (
    FLOOR,
    agreement_map,
    dilated,
    directions,
    local_mean,
    rain_found,
    steepness,
)

NOISE = 1 / 255
"""Gradients of a layer below this do not count as structure."""
WINDOW = 6.0
"""Standard deviation in pixels of the window in which local correlations are measured."""
MARGIN = 4
"""Pixels around found rain that may still be rain."""


@dataclass(frozen=True, slots=True)
class LayerScore:
    """Scores of a rain layer, measured against the layers of independent networks; fractions in [0, 1]."""

    rain_found: float
    """Mean of the rain that both the judged and the independent network found, grey levels in [0, 1]."""
    agreement: float
    """Rain found by both / by either, by brightness: 0 for a network that finds nothing, low for one that
    smooths."""
    elongation: float
    """Elongation of the rain that both found, weighted by brightness."""
    structure_leak: float | None
    """Local correlation of the layer's gradients with the background's where no network found rain; None if the
    whole photograph may be rain."""


def layer_score(rainy: Tensor, layer: Tensor, independent: Sequence[Tensor]) -> LayerScore:
    """Score a rain layer against the layers that independent networks found.

    Parameters
    ----------
    rainy : Tensor
        (3, H, W) floats in [0, 1].
    layer : Tensor
        (3, H, W) layer that the judged network removes.
    independent : sequence of Tensor
        (3, H, W) layers that other networks remove; the one that agrees most counts.
    """
    found = rain_found(layer[None])
    others = [rain_found(other[None]) for other in independent]
    agreements = [_shared(found, other) for other in others]
    best = max(range(len(others)), key=lambda number: agreements[number])
    both = torch.minimum(found, others[best])
    energy = float(both.sum())
    shape = float((directions(both).anisotropy * both).sum()) / energy if energy > 0 else 0.0
    return LayerScore(
        rain_found=float(both.mean()),
        agreement=agreements[best],
        elongation=shape,
        structure_leak=structure_leak(rainy, layer, others),
    )


def structure_leak(rainy: Tensor, layer: Tensor, found: Sequence[Tensor]) -> float | None:
    """Correlate a layer with the structure of its background where rain is unlikely.

    Parameters
    ----------
    rainy, layer : Tensor
        (3, H, W).
    found : sequence of Tensor
        (1, 1, H, W) rain that independent networks found; further than `MARGIN` from it, rain is unlikely.

    Returns
    -------
    float or None
        Local Pearson correlation of gradient magnitudes, in [0, 1]; 0 for a layer without gradients above noise,
        None if rain is likely everywhere.
    """
    likely = dilated(torch.stack(list(found)).amax(0).gt(FLOOR).float(), MARGIN)
    unlikely = 1 - likely
    if float(unlikely.mean()) < 0.02:
        return None
    background = (rainy - layer).mean(0)[None, None]
    removed, behind = steepness(layer.mean(0)[None, None]), steepness(background)
    weight = local_mean(unlikely, WINDOW).clamp(min=1e-6)

    def local(part: Tensor) -> Tensor:
        return local_mean(part * unlikely, WINDOW) / weight

    mean_removed, mean_behind = local(removed), local(behind)
    covariance = local(removed * behind) - mean_removed * mean_behind
    spread = [
        (local(part**2) - mean**2).clamp(min=0) + NOISE**2
        for part, mean in ((removed, mean_removed), (behind, mean_behind))
    ]
    correlation = (covariance / (spread[0] * spread[1]).sqrt()).clamp(0, 1)
    return float((correlation * unlikely).sum() / unlikely.sum())


def confidence(layer: Tensor, independent: Sequence[Tensor]) -> Tensor:
    """Return the confidence, per pixel, that rain was found there and removed correctly.

    Parameters
    ----------
    layer : Tensor
        (3, H, W) layer that the judged network removes.
    independent : sequence of Tensor
        (3, H, W) layers that other networks remove.

    Returns
    -------
    Tensor
        (H, W) in [0, 1]; 0 where the judged network or all others found no rain, and lower where the layer crosses
        the common direction of the rain, as edges that are mistaken for rain do.
    """
    found = rain_found(layer[None])
    maps = [agreement_map(found, rain_found(other[None])) for other in independent]
    return (torch.stack(maps).amax(0) * directions(found).alignment.square())[0, 0]


@dataclass(frozen=True, slots=True)
class CombinedScore:
    """The scores that rules use; each is 0 for a network that changes nothing."""

    found: float
    """Agreement x elongation of the rain that independent networks also found."""
    probes: float
    """Informedness of planted probes on the same photograph."""

    @property
    def overall(self) -> float:
        """Geometric mean of found and probes: if either is 0, so is the mean."""
        return math.sqrt(max(self.found, 0.0) * max(self.probes, 0.0))


def combined_score(score: LayerScore, probes: ProbeScore) -> CombinedScore:
    """Combine the measurements into the scores that rules use."""
    return CombinedScore(
        found=score.agreement * score.elongation,
        probes=probes.informedness,
    )


def _shared(found: Tensor, other: Tensor) -> float:
    larger = float(torch.maximum(found, other).sum())
    return float(torch.minimum(found, other).sum()) / larger if larger > 0 else 0.0

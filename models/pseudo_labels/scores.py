"""Scores of a derained real photograph without ground truth (`layer_score`, `confidence`, `trust`). Ours.

No score depends on the judged network alone: consistency does not detect rain that a network leaves, and a network
that does nothing is perfectly consistent. Each score is 0, or below that of a good network, for a network that
changes nothing, blurs, or smooths. Without any rain found, nothing is scored, because that does not prove
cleanliness.
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
"""Gradients of a layer that are below this do not count as structure."""
WINDOW = 6.0
"""Standard deviation in pixels of the window in which local correlations are measured."""
MARGIN = 4
"""Pixels around found rain that may still be rain."""


@dataclass(frozen=True, slots=True)
class LayerScore:
    """The judgement of a rain layer by independent networks; fractions in [0, 1]."""

    rain_found: float
    """Mean of what both judged and independent network found, grey levels in [0, 1]."""
    agreement: float
    """Found by both / found by either, by brightness: 0 for one that finds nothing, low for one that smooths."""
    elongation: float
    """Elongation of what both found, weighted by brightness."""
    structure_leak: float | None
    """Local correlation of the layer's gradients with the background's where no network found rain; None where all
    of the photograph may be rain."""


def layer_score(rainy: Tensor, layer: Tensor, independent: Sequence[Tensor]) -> LayerScore:
    """Judge a rain layer by the layers that independent networks found.

    Parameters
    ----------
    rainy : Tensor
        (3, H, W) floats in [0, 1].
    layer : Tensor
        (3, H, W) what the judged network takes away.
    independent : sequence of Tensor
        (3, H, W) what others take away; the one that agrees most counts.
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
        (1, 1, H, W) what independent networks found; outside, with a margin, rain is unlikely.

    Returns
    -------
    float or None
        Local Pearson correlation of gradient lengths, in [0, 1]; 0 for a layer with no gradients above noise, None
        where rain is likely everywhere, so that nothing can be measured.
    """
    likely = dilated(torch.stack(list(found)).amax(0).gt(FLOOR).float(), MARGIN)
    unlikely = 1 - likely
    if float(unlikely.mean()) < 0.02:
        return None
    background = (rainy - layer).mean(0)[None, None]
    ours, theirs = steepness(layer.mean(0)[None, None]), steepness(background)
    weight = local_mean(unlikely, WINDOW).clamp(min=1e-6)

    def local(part: Tensor) -> Tensor:
        return local_mean(part * unlikely, WINDOW) / weight

    mean_ours, mean_theirs = local(ours), local(theirs)
    covariance = local(ours * theirs) - mean_ours * mean_theirs
    spread = [
        (local(part**2) - mean**2).clamp(min=0) + NOISE**2
        for part, mean in ((ours, mean_ours), (theirs, mean_theirs))
    ]
    correlation = (covariance / (spread[0] * spread[1]).sqrt()).clamp(0, 1)
    return float((correlation * unlikely).sum() / unlikely.sum())


def confidence(layer: Tensor, independent: Sequence[Tensor]) -> Tensor:
    """Return, per pixel, the confidence that rain was found there and removed correctly.

    Parameters
    ----------
    layer : Tensor
        (3, H, W) what the judged network takes away.
    independent : sequence of Tensor
        (3, H, W) what others take away.

    Returns
    -------
    Tensor
        (H, W) in [0, 1]; 0 wherever the judged network or all others found no rain, and less where what was
        found crosses the common direction of the rain, as edges that are mistaken for it do.
    """
    found = rain_found(layer[None])
    maps = [agreement_map(found, rain_found(other[None])) for other in independent]
    return (torch.stack(maps).amax(0) * directions(found).alignment.square())[0, 0]


@dataclass(frozen=True, slots=True)
class Trust:
    """The scores that rules decide by; each is 0 for a network that changes nothing."""

    found: float
    """Agreement x elongation of the rain that independent networks found too."""
    probes: float
    """Informedness of planted probes on this very photograph."""

    @property
    def overall(self) -> float:
        """Geometric mean of found and probes: one that is 0 is not made up for by the other."""
        return math.sqrt(max(self.found, 0.0) * max(self.probes, 0.0))


def trust(score: LayerScore, probes: ProbeScore) -> Trust:
    """Combine the measurements to the scores of rules."""
    return Trust(
        found=score.agreement * score.elongation,
        probes=probes.informedness,
    )


def _shared(found: Tensor, other: Tensor) -> float:
    larger = float(torch.maximum(found, other).sum())
    return float(torch.minimum(found, other).sum()) / larger if larger > 0 else 0.0

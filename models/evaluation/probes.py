"""Planted probes: measure how much rain a network removes from a real photograph, and how much detail it keeps.

A method of this project that needs no clean version of the photograph. A layer that is known to be rain, or known
not to be, is added to the photograph. The difference between the derained photographs with and without the layer
shows how much of it is left; what the network does to the rest of the photograph cancels out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from models.evaluation.probe_layers import DETAIL_FAMILIES, RAIN_FAMILIES, Family
from models.rng import SampleRng

Derain = Callable[[Tensor], Tensor]
"""Derains (B, 3, H, W) floats in [0, 1]; returns the same shape."""

HEADROOM = (0.06, 0.85)
"""Black and white of a photograph before anything is planted, so that light and dark layers fit in it."""
CONTRAST = (0.08, 0.3)
"""Peak of a planted layer."""


@dataclass(frozen=True, slots=True)
class ProbeScore:
    """The response of a network to planted rain and planted detail."""

    rain_recall: float
    """Fraction of the rain that is removed: 0 for a network that changes nothing, 1 for a perfect one."""
    detail_kept: float
    """Fraction of the detail that is kept: 1 for both of these, less if it is smoothed or mistaken for rain."""

    @property
    def informedness(self) -> float:
        """Rain recall + detail kept - 1 (Youden's index, 1950), by which networks are ranked.

        Rain and detail are equally thin and equally strong. A network that weakens both by the same share g, as
        smoothing does, has a recall of g and keeps 1 - g of the detail: an index of 0 for every g, like the
        identity. Only a network that distinguishes them scores more; a perfect one has 1. A share above 1 (dark
        traces of rain, sharpened detail) counts like one that is equally far below 1.
        """
        recall, kept = (min(share, 2 - share) for share in (self.rain_recall, self.detail_kept))
        return recall + kept - 1


@dataclass(frozen=True, slots=True)
class Probe:
    """One planted layer, (3, H, W), in whole 8-bit levels."""

    family: str
    planted: Tensor


def with_headroom(photograph: Tensor) -> Tensor:
    """Reduce the contrast of a photograph (3, H, W) so that probes fit in it; return whole 8-bit levels."""
    black, white = HEADROOM
    return _levels(black + (white - black) * photograph)


def rain_probes(photograph: Tensor, seed: int, turn: int = 0) -> list[Probe]:
    """Draw one rain layer per family for a photograph that has headroom; see `probe` for seed and turn."""
    return _probes(photograph, RAIN_FAMILIES, seed, 2 * turn)


def detail_probes(photograph: Tensor, seed: int, turn: int = 0) -> list[Probe]:
    """Draw one detail layer per family for a photograph that has headroom; see `probe` for seed and turn."""
    return _probes(photograph, DETAIL_FAMILIES, seed, 2 * turn + 1)


def probe(derain: Derain, photograph: Tensor, seed: int, turn: int = 0) -> ProbeScore:
    """Score a network on one photograph, averaged over the families.

    Parameters
    ----------
    derain : callable
        Takes and returns (B, 3, H, W) floats in [0, 1].
    photograph : Tensor
        (3, H, W) floats in [0, 1], rainy or not.
    seed : int
        Determines the angles, sizes and strengths: one per photograph, the same for all networks compared.
    turn : int
        Every turn draws different layers: a network that was chosen on one turn is checked on the next.
    """
    return score(probe_families(derain, photograph, seed, turn))


@torch.inference_mode()
def probe_families(derain: Derain, photograph: Tensor, seed: int, turn: int = 0) -> dict[str, float]:
    """Return rain recall of each rain family and detail kept of each detail family, by name; see `probe`."""
    ground = with_headroom(photograph)
    rain, detail = rain_probes(ground, seed, turn), detail_probes(ground, seed, turn)
    batch = torch.stack([ground, *(ground + each.planted for each in (*rain, *detail))])
    derained = derain(batch)
    left = [
        _share(after - derained[0], each.planted)
        for each, after in zip((*rain, *detail), derained[1:], strict=True)
    ]
    recalls = {each.family: 1 - share for each, share in zip(rain, left, strict=False)}
    kept = {each.family: share for each, share in zip(detail, left[len(rain) :], strict=True)}
    return recalls | kept


def score(families: Mapping[str, float]) -> ProbeScore:
    """Average the result of `probe_families`."""
    return ProbeScore(
        fmean(families[family] for family in RAIN_FAMILIES),
        fmean(families[family] for family in DETAIL_FAMILIES),
    )


def _probes(photograph: Tensor, families: Mapping[str, Family], seed: int, stream: int) -> list[Probe]:
    size = (photograph.shape[-2], photograph.shape[-1])
    probes = []
    for number, (name, family) in enumerate(families.items()):
        rng = SampleRng(seed, torch.tensor([stream * len(families) + number]))
        contrast = rng.log_uniform(*CONTRAST)
        layer = (contrast * family(rng, size)).to(photograph.device)
        probes.append(Probe(name, _levels((photograph + layer).clamp(0, 1)) - photograph))
    return probes


def _share(left: Tensor, planted: Tensor) -> float:
    """Return <left, planted> / <planted, planted>."""
    energy = float(planted.double().square().sum())
    if energy == 0:
        raise ValueError(
            f"a photograph of {tuple(planted.shape[-2:])} pixels is too small to plant a probe in"
        )
    return float((left.double() * planted.double()).sum()) / energy


def _levels(picture: Tensor) -> Tensor:
    return picture.mul(255).round() / 255

"""Three kinds of rain that the shipped student was never trained on, over photographs that it never saw.

Fixed before anything was tuned: families and seed by choice, each strength as the first of 1, 1/2 and 2 with a lead
(psnr_y of the derained photographs above that of the rainy ones, over all of them) between 3 and 8 dB: neither
hopeless nor trivial.
`python -m benchmarks.learning.learning_loop --leads` prints them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.evaluation.probe_layers import beaded_rain, comet_rain
from models.images import RgbImage, to_rgb
from models.rain.banks import load_training_data
from models.rain.streaks import COARSE, NEEDLES, SLEET, StreakFamily, procedural_layer
from models.rng import SampleRng

SEED = 20_270_101
FIRST_PHOTOGRAPH = 20
"""Of the held-out ones. Those before it select the weights of every training; the later ones have a part only in
whether a student ships (`benchmarks.release.ship` looks at 40), and both arms of a comparison begin from the same
one."""
STRENGTHS = (1.0, 0.5, 2.0)
FRAMES = 5
"""Rains that fall on one photograph, as on a fixed camera's frames."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One kind of rain: streak layers that are added, and how strongly."""

    families: tuple[StreakFamily, ...]
    probes: tuple[str, ...]
    """Families that otherwise only judge: streaks with a structure of their own."""
    strength: float


PROBES = {"beaded": beaded_rain, "comet": comet_rain}
DOMAINS: Mapping[str, Domain] = {
    "needles": Domain((NEEDLES, NEEDLES), (), 0.5),
    "coarse": Domain((COARSE,), ("comet",), 1.0),
    "sleet": Domain((SLEET,), ("beaded",), 0.5),
}

FRESH: Mapping[str, Domain] = {
    "ribbons": Domain(
        (StreakFamily((60.0, 140.0), (1.5, 3.0), (3e-5, 2e-4), (0.2, 0.6), flat=True),), (), 1.0
    ),
    "threads": Domain((StreakFamily((90.0, 200.0), (0.3, 0.5), (5e-4, 2e-3), (0.06, 0.2)),), (), 1.0),
    "hail": Domain((StreakFamily((2.0, 5.0), (1.5, 3.0), (2e-4, 1e-3), (0.3, 0.9)),), (), 1.0),
}
"""Kinds that were made up when all rules, limits and losses stood: nothing was set by a look at them."""


@dataclass(frozen=True, slots=True)
class RainyScene:
    """A photograph under several rains of one domain."""

    clean: RgbImage
    frames: tuple[RgbImage, ...]
    """The first is unlabelled training data, the second is seen by nothing but the judge."""


def scenes(data: Path, domain: Domain, limit: int | None = None) -> list[RainyScene]:
    """Render a domain over the held-out photographs of a training folder."""
    photographs = load_training_data(data, held_out=True).photographs
    chosen = range(min(FIRST_PHOTOGRAPH, len(photographs) // 2), len(photographs))[:limit]
    return [scene(photographs.picture(number), domain, number) for number in chosen]


def scene(clean: Tensor, domain: Domain, number: int) -> RainyScene:
    """Let a domain's rain fall on a photograph (3, H, W) several times."""
    frames = (
        clean + domain.strength * _layer(domain, number * FRAMES + frame, clean) for frame in range(FRAMES)
    )
    return RainyScene(to_rgb(clean), tuple(to_rgb(frame) for frame in frames))


def background(frames: tuple[RgbImage, ...]) -> RgbImage:
    """Return what most frames of a fixed camera agree on: the median of each pixel."""
    median: RgbImage = np.median(np.stack(frames), axis=0).round().astype(np.uint8)
    return median


def _layer(domain: Domain, number: int, clean: Tensor) -> Tensor:
    rng, size = SampleRng(SEED, torch.tensor([number])), (clean.shape[-2], clean.shape[-1])
    angle = rng.uniform(-0.5, 0.5)
    layers = [procedural_layer(rng, family, angle, size)[0] for family in domain.families]
    layers += [PROBES[name](rng, size)[:1] for name in domain.probes]
    return torch.stack(layers).sum(0)

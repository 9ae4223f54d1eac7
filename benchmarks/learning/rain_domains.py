"""Three kinds of rain on which the shipped student was never trained, on photographs that it never saw.

They were fixed before anything was tuned: families and seed were chosen, and each strength is the first of 1, 1/2
and 2 that gives a lead (mean psnr_y of the derained photographs minus that of the rainy ones) between 3 and 8 dB,
neither hopeless nor trivial. `python -m benchmarks.learning.learning_loop --leads` prints all leads.
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
"""First held-out photograph to use. Those before it select the weights of every training; later ones only take part
in the decision whether a student ships (`benchmarks.release.ship` uses 40), and both sides of a comparison start
from the same student."""
STRENGTHS = (1.0, 0.5, 2.0)
FRAMES = 5
"""Number of different rains per photograph, like the frames of a fixed camera."""


@dataclass(frozen=True, slots=True)
class Domain:
    """One kind of rain: the streak layers to add, and their strength."""

    families: tuple[StreakFamily, ...]
    probes: tuple[str, ...]
    """Families of streaks that are otherwise used only in probes."""
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
"""Kinds of rain that were designed after all rules, limits and losses were fixed, so that they influenced none."""


@dataclass(frozen=True, slots=True)
class RainyScene:
    """A photograph under several rains of one domain."""

    clean: RgbImage
    frames: tuple[RgbImage, ...]
    """The first is unlabelled training data; the second is only for evaluation."""


def scenes(data: Path, domain: Domain, limit: int | None = None) -> list[RainyScene]:
    """Render a domain on the held-out photographs of a training folder."""
    photographs = load_training_data(data, held_out=True).photographs
    chosen = range(min(FIRST_PHOTOGRAPH, len(photographs) // 2), len(photographs))[:limit]
    return [scene(photographs.picture(number), domain, number) for number in chosen]


def scene(clean: Tensor, domain: Domain, number: int) -> RainyScene:
    """Render several rains of a domain on a photograph (3, H, W)."""
    frames = (
        clean + domain.strength * _layer(domain, number * FRAMES + frame, clean) for frame in range(FRAMES)
    )
    return RainyScene(to_rgb(clean), tuple(to_rgb(frame) for frame in frames))


def background(frames: tuple[RgbImage, ...]) -> RgbImage:
    """Return the background of a fixed camera's frames: the median of each pixel."""
    median: RgbImage = np.median(np.stack(frames), axis=0).round().astype(np.uint8)
    return median


def _layer(domain: Domain, number: int, clean: Tensor) -> Tensor:
    rng, size = SampleRng(SEED, torch.tensor([number])), (clean.shape[-2], clean.shape[-1])
    angle = rng.uniform(-0.5, 0.5)
    layers = [procedural_layer(rng, family, angle, size)[0] for family in domain.families]
    layers += [PROBES[name](rng, size)[:1] for name in domain.probes]
    return torch.stack(layers).sum(0)

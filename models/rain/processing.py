"""Processing of photographs after they were taken (`process`): more contrast, a new size, sharpening.

Photographs on the web are rarely as a camera took them. Enlarged streaks are softer and wider than those of the
families, sharpened ones have dark seams. Both sides of a pair are processed alike, so that networks learn to remove
such streaks but not to change the photograph back.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.pairs import RainyPair
from models.rain.degradations import blurred, per_sample, without_autocast
from models.rng import SampleRng

CONTRASTED, ENLARGED, SHARPENED = 0.25, 0.3, 0.3
"""Probabilities of each step."""
CONTRAST = (0.7, 1.6)
ZOOM = (1.0, 2.2)
SHARPNESS = (0.3, 1.5)
"""Factor by which sharpening multiplies fine detail, less 1."""
RADIUS = (0.6, 2.0)
"""Standard deviation of the blur that separates fine detail from the rest, in pixels."""


def process(rng: SampleRng, pair: RainyPair) -> RainyPair:
    """Process both sides of a pair alike, each sample with its own settings; many remain as they are."""
    sides, streaks = torch.cat((pair.rainy, pair.clean), 1), pair.streaks  # (B, 6, H, W), (B, 1, H, W)
    sides, streaks = sides.clone(), streaks.clone()
    chosen, branch = _choose(rng, CONTRASTED)
    if chosen.any():
        sides[chosen] = _with_contrast(branch, sides[chosen])
    chosen, branch = _choose(rng, ENLARGED)
    if chosen.any():
        enlarged = _enlarged(branch, torch.cat((sides[chosen], streaks[chosen]), 1))
        sides[chosen], streaks[chosen] = enlarged[:, :6], enlarged[:, 6:]
    chosen, branch = _choose(rng, SHARPENED)
    if chosen.any():
        sides[chosen] = _sharpened(branch, sides[chosen])
    return RainyPair(sides[:, :3], sides[:, 3:], streaks)


def _choose(rng: SampleRng, probability: float) -> tuple[Tensor, SampleRng]:
    """Choose samples and branch off their random numbers, even if there are none: no draw may depend on others."""
    chosen = rng.chance(probability)
    return chosen, rng.subset(chosen)


def _with_contrast(rng: SampleRng, sides: Tensor) -> Tensor:
    """Scale the distance from a grey level; what falls outside the range is clipped, as in a photograph."""
    gain, grey = (per_sample(values) for values in (rng.log_uniform(*CONTRAST), rng.uniform(0.3, 0.7)))
    return (grey + gain * (sides - grey)).clamp(0, 1)


def _enlarged(rng: SampleRng, planes: Tensor) -> Tensor:
    """Enlarge a part of each picture, (B, C, H, W), to the size of the whole (bicubic)."""
    zoom = rng.log_uniform(*ZOOM)
    free = 1 - 1 / zoom  # how far the middle of the part may be from that of the picture; half a side is 1
    shift = torch.stack([rng.uniform(-1, 1) * free, rng.uniform(-1, 1) * free], 1)  # (B, 2)
    scale = torch.diag_embed((1 / zoom)[:, None].expand(-1, 2))  # (B, 2, 2)
    with without_autocast(planes):
        grid = F.affine_grid(
            torch.cat((scale, shift[:, :, None]), 2), list(planes.shape), align_corners=False
        )
        return F.grid_sample(planes, grid, "bicubic", "reflection", align_corners=False).clamp(0, 1)


def _sharpened(rng: SampleRng, sides: Tensor) -> Tensor:
    """Add fine detail once more (unsharp masking)."""
    amount, sigma = per_sample(rng.uniform(*SHARPNESS)), rng.uniform(*RADIUS)
    return (sides + amount * (sides - blurred(sides, sigma))).clamp(0, 1)

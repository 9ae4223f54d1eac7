"""Rendering of rain on clean photographs (`training_pairs`), on the training device.

The result depends on the seed and the sample alone. For recorded layers, rainy = clean + streaks, exactly as
recorded; rendered streaks also cover part of what lies behind them. Mist, noise, focus and JPEG are applied to both
sides: see `models.rain.degradations`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from models.pairs import RainyPair
from models.rain import degradations, hard_negatives, lens_drops
from models.rain.banks import Bank, TrainingData, sample
from models.rain.crop_grids import crop_grid
from models.rain.processing import process
from models.rain.recipes import FAINT, RainRecipe
from models.rain.streak_layers import bank_streaks, procedural_streaks
from models.rng import SampleRng
from models.structure_tensor import blurred

JPEG_OF_CAMERA, JPEG_OF_WEB = (60.0, 98.0), (40.0, 95.0)
"""Quality of JPEG as cameras write it, and as processed photographs have it."""
VEIL_SIGMA = 12.0
"""Standard deviation, in pixels, of the blur that separates the veil of faint rain from its streaks."""
OTHER_LAYER = 0.5
"""Probability that a recorded layer is put on another photograph than the one it was recorded for."""


def training_pairs(data: TrainingData, rng: SampleRng, recipe: RainRecipe, size: int) -> RainyPair:
    """Render one training batch of square crops.

    Parameters
    ----------
    data : TrainingData
        Photographs and streak layers, on the device of `rng`.
    rng : SampleRng
        Random numbers of B samples, one stream per sample.
    recipe : RainRecipe
        Shares of the kinds of rain.
    size : int
        Side of the crops in pixels, a multiple of 8.
    """
    kind = _kind(rng.uniform(), recipe)
    photo = rng.integer(len(data.photographs))
    has_layer = kind.recorded & bool((data.layer_of >= 0).any())
    own = has_layer & ~rng.chance(OTHER_LAYER)
    layer = rng.integer(len(data.layers))
    photo = torch.where(own, _photo_of(data)[layer], photo)
    shorter = torch.minimum(data.photographs.widths[photo], data.photographs.heights[photo])
    scale = torch.where(has_layer, 1.0, rng.uniform(0.7, 1.5)).minimum((shorter - 1) / (size - 1))
    grid = crop_grid(rng, data.photographs, photo, scale, size)
    elsewhere = crop_grid(rng, data.layers, layer, torch.ones_like(scale), size)
    streaks = sample(data.layers, layer, torch.where(own[:, None, None, None], grid, elsewhere))
    streaks = streaks * _mask(has_layer)
    clean = sample(data.photographs, photo, grid)
    recorded = RainyPair(clean + streaks, clean, streaks)
    return _compose(data.streaks, rng, recipe, recorded, kind.with_recorded(has_layer))


def whole_pair(data: TrainingData, rng: SampleRng, recipe: RainRecipe, photo: int) -> RainyPair:
    """Render rain on one whole photograph, cropped to multiples of 8; `rng` has one sample.

    A recipe of recorded rain alone uses the layer that was recorded for the photograph, if there is one.
    """
    clean = data.photographs.picture(photo)[None]
    height, width = (extent // 8 * 8 for extent in clean.shape[-2:])
    number = int(data.layer_of[photo])
    has_layer = torch.tensor([number >= 0 and recipe.recorded == 1], device=clean.device)
    layer = data.layers.picture(number)[None] if has_layer else torch.zeros_like(clean[:, :1])
    pair = RainyPair(*(part[..., :height, :width] for part in (clean + layer, clean, layer)))
    return _compose(data.streaks, rng, recipe, pair, _kind(rng.uniform(), recipe).with_recorded(has_layer))


def _photo_of(data: TrainingData) -> Tensor:
    """Return the photograph that each recorded layer belongs to, (layers,); 0 for layers of none."""
    owner = torch.zeros(len(data.layers), dtype=torch.long, device=data.layer_of.device)
    photos = (data.layer_of >= 0).nonzero()[:, 0]
    return owner.index_copy(0, data.layer_of[photos], photos)


@dataclass(frozen=True, slots=True)
class _Kind:
    """The kinds of rain of the samples of a batch, (B,) booleans each."""

    recorded: Tensor
    bank: Tensor
    procedural: Tensor
    drops: Tensor
    faint: Tensor

    def with_recorded(self, has_layer: Tensor) -> _Kind:
        """Give bank rain to samples that should have a recorded layer but have none."""
        bank = self.bank | (self.recorded & ~has_layer)
        return replace(self, recorded=has_layer, bank=bank)

    def among(self, chosen: Tensor) -> _Kind:
        parts = (self.recorded, self.bank, self.procedural, self.drops, self.faint)
        return _Kind(*(part[chosen] for part in parts))


def _kind(number: Tensor, recipe: RainRecipe) -> _Kind:
    """Map numbers in [0, 1), one per sample, to the recipe's shares."""
    ends = list(itertools.accumulate(recipe.shares))
    recorded, bank, procedural, both, on_lens, faint = (
        (number >= start) & (number < end) for start, end in itertools.pairwise([0.0, *ends])
    )
    return _Kind(recorded, bank | both, procedural | both, on_lens, faint)


def _compose(
    streak_bank: Bank, rng: SampleRng, recipe: RainRecipe, recorded: RainyPair, kind: _Kind
) -> RainyPair:
    """Add the rendered kinds of rain, and degrade both sides."""
    rainy, clean, streaks = recorded.rainy.clone(), recorded.clean.clone(), recorded.streaks.clone()
    own = ~kind.recorded
    branch = rng.subset(own)
    if own.any():
        rendered = _rendered(streak_bank, branch, recipe, clean[own], kind.among(own))
        rainy[own], clean[own], streaks[own] = rendered.rainy, rendered.clean, rendered.streaks
    return RainyPair(rainy.clamp(0, 1), clean, streaks)


def _rendered(streak_bank: Bank, rng: SampleRng, recipe: RainRecipe, clean: Tensor, kind: _Kind) -> RainyPair:
    size = (clean.shape[-2], clean.shape[-1])
    if recipe.camera:
        clean = _degrade_clean(rng, clean, () if recipe.veil else ((0.35, degradations.haze),))
    streaks = clean.new_zeros(len(clean), 1, *size)
    of_bank, of_procedural = rng.subset(kind.bank), rng.subset(kind.procedural)
    if kind.bank.any():
        streaks[kind.bank] += bank_streaks(of_bank, streak_bank, size)
    if kind.procedural.any():
        streaks[kind.procedural] += procedural_streaks(of_procedural, recipe.families, size)
    if recipe.faint:
        of_faint = rng.subset(kind.faint)
        if kind.faint.any():
            streaks[kind.faint] += procedural_streaks(of_faint, FAINT, size)
    pair = _add_streaks(rng, clean, streaks.clamp(0, 1), kind.faint)
    pair = _on_the_lens(rng, pair, kind.drops)
    if recipe.veil:
        pair = RainyPair(degradations.haze(rng, pair.rainy), clean, pair.streaks)
    return _degrade_pair(rng, pair, processed=recipe.processed) if recipe.camera else pair


def _add_streaks(rng: SampleRng, clean: Tensor, streaks: Tensor, faint: Tensor) -> RainyPair:
    """Brighten photographs by slightly tinted streaks; in half of the samples they also cover the background.

    The veil that dense faint streaks form remains on the clean side, like mist: nothing shows how grey it was.
    """
    cover = (rng.uniform() * rng.chance(0.5))[:, None, None, None]
    tint = rng.uniform(0.95, 1.05, shape=(3, 1, 1))
    veil = blurred(streaks, VEIL_SIGMA, repeat_edges=True) * _mask(faint)
    rainy, behind = (clean * (1 - cover * layer) + layer * tint for layer in (streaks, veil))
    return RainyPair(rainy.clamp(0, 1), behind.clamp(0, 1), (streaks - veil).clamp(min=0))


def _on_the_lens(rng: SampleRng, pair: RainyPair, chosen: Tensor) -> RainyPair:
    branch = rng.subset(chosen)
    if not chosen.any():
        return pair
    rainy, streaks = pair.rainy.clone(), pair.streaks.clone()
    rainy[chosen], opacity = lens_drops.on_the_lens(branch, rainy[chosen])
    streaks[chosen] = torch.maximum(streaks[chosen], opacity)
    return RainyPair(rainy, pair.clean, streaks)


Change = Callable[[SampleRng, Tensor], Tensor]


def _degrade_clean(rng: SampleRng, clean: Tensor, air: Sequence[tuple[float, Change]]) -> Tensor:
    """Vary the exposure of all samples; add a soft background, mist and rain-like content to some."""
    clean = degradations.jitter_exposure(rng, clean)
    content: list[tuple[float, Change]] = [
        (0.12, hard_negatives.grating),
        (0.25, degradations.defocus),
        *air,
        (0.16, hard_negatives.strands),
        (0.06, hard_negatives.dots),
    ]
    for share, change in content:
        chosen = rng.chance(share)
        branch = rng.subset(chosen)  # even if none is chosen: a sample's draws must not depend on its batch
        if chosen.any():
            clean[chosen] = change(branch, clean[chosen])
    return clean


def _degrade_pair(rng: SampleRng, pair: RainyPair, *, processed: bool) -> RainyPair:
    """Add noise and JPEG to some of the samples, equally on both sides, and process them between."""
    sides = torch.stack((pair.rainy, pair.clean))
    noisy, compressed = rng.chance(0.35), rng.chance(0.6 if processed else 0.3)
    of_noise, of_quality = rng.subset(noisy), rng.subset(compressed)
    if noisy.any():
        height, width = pair.clean.shape[-2:]
        noise = degradations.sensor_noise(of_noise, (height, width))
        sides[:, noisy] = (sides[:, noisy] + noise).clamp(0, 1)
    pair = RainyPair(sides[0], sides[1], pair.streaks)
    if processed:
        pair = process(rng, pair)
        sides = torch.stack((pair.rainy, pair.clean))
    if compressed.any():
        quality = of_quality.uniform(*(JPEG_OF_WEB if processed else JPEG_OF_CAMERA))
        for side in sides:
            side[compressed] = degradations.jpeg(side[compressed], quality)
    return RainyPair(sides[0], sides[1], pair.streaks)


def _mask(chosen: Tensor) -> Tensor:
    return chosen[:, None, None, None].float()

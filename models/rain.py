"""Rain on clean photographs, rendered in torch on the training device, the same for the same seed and sample.

rainy = clean + streaks for recorded layers (exactly how they were recorded); rendered streaks also cover what
lies behind them in part. Mist, noise, focus and JPEG go on both sides: see `models.camera`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models import camera
from models.banks import Bank, TrainingData, sample
from models.draws import Draws
from models.pairs import RainyPair
from models.streaks import BOLD, FAINT_LONG, FINE, MEDIUM, procedural_layer

BANK_LAYERS = 4
"""Most layers of the streak bank that are summed: heavy rain falls in several directions."""


@dataclass(frozen=True, slots=True)
class RainRecipe:
    """Shares of the kinds of rain in a batch; what is left over are identity pairs."""

    recorded: float
    """A photograph under the layer recorded for it."""
    bank: float
    """Layers of the streak bank, rotated, rescaled, gained and summed."""
    procedural: float
    """Procedural streaks of several kinds."""
    both: float
    """Bank and procedural streaks together: the heaviest."""
    camera: bool = True
    """Exposure, mist, noise, focus and JPEG on the kinds that are not recorded."""


RECIPES = {
    "light": RainRecipe(recorded=1.0, bank=0.0, procedural=0.0, both=0.0, camera=False),
    "heavy": RainRecipe(recorded=0.0, bank=0.0, procedural=0.0, both=1.0, camera=False),
    "mixed": RainRecipe(recorded=0.35, bank=0.22, procedural=0.2, both=0.15),
    "none": RainRecipe(recorded=0.0, bank=0.0, procedural=0.0, both=0.0, camera=False),
}
"""Named recipes; training uses `mixed`, validation the others."""


def training_pairs(data: TrainingData, draws: Draws, recipe: RainRecipe, size: int) -> RainyPair:
    """Render one training batch of square crops.

    Parameters
    ----------
    data : TrainingData
        Photographs and streak layers, on the device of `draws`.
    draws : Draws
        One stream a sample; B samples.
    recipe : RainRecipe
        Shares of the kinds of rain.
    size : int
        Side of the crops in pixels, a multiple of 8.
    """
    kind = draws.uniform()
    photo = _choose(draws, data, kind < recipe.recorded)
    recorded = (kind < recipe.recorded) & (data.layer_of[photo] >= 0)
    scale = torch.where(recorded, 1.0, draws.uniform(0.7, 1.5))
    grid = _crop_grid(draws, data.photographs, photo, scale, size)
    clean = sample(data.photographs, photo, grid)
    layer = sample(data.layers, data.layer_of[photo].clamp(min=0), grid) * _mask(recorded)
    return _compose(
        data.streaks, draws, recipe, RainyPair(clean + layer, clean, layer), _kinds(recipe, kind, recorded)
    )


def whole_pair(data: TrainingData, draws: Draws, recipe: RainRecipe, photo: int) -> RainyPair:
    """Render rain over one whole photograph, cut to multiples of 8; `draws` has one stream."""
    clean = data.photographs.picture(photo)[None]
    height, width = (extent // 8 * 8 for extent in clean.shape[-2:])
    number = int(data.layer_of[photo])
    recorded = torch.tensor([number >= 0 and recipe.recorded == 1], device=clean.device)
    layer = data.layers.picture(number)[None] if recorded else torch.zeros_like(clean[:, :1])
    pair = RainyPair(*(part[..., :height, :width] for part in (clean + layer, clean, layer)))
    return _compose(data.streaks, draws, recipe, pair, _kinds(recipe, draws.uniform(), recorded))


def _choose(draws: Draws, data: TrainingData, recorded: Tensor) -> Tensor:
    """Choose a photograph a sample; where `recorded`, one that has a recorded layer, if any has."""
    photo = draws.integer(len(data.photographs))
    with_layer = (data.layer_of >= 0).nonzero()[:, 0]
    if len(with_layer) == 0:
        return photo
    return torch.where(recorded, with_layer[draws.integer(len(with_layer))], photo)


@dataclass(frozen=True, slots=True)
class _Kinds:
    """Which samples of a batch get what, (B,) booleans each."""

    recorded: Tensor
    bank: Tensor
    procedural: Tensor

    def among(self, chosen: Tensor) -> _Kinds:
        return _Kinds(self.recorded[chosen], self.bank[chosen], self.procedural[chosen])


def _kinds(recipe: RainRecipe, kind: Tensor, recorded: Tensor) -> _Kinds:
    """Sort numbers in [0, 1) into the recipe's shares; without a layer, bank rain."""
    _, second, third, last = itertools.accumulate(
        (recipe.recorded, recipe.bank, recipe.procedural, recipe.both)
    )
    both = (kind >= third) & (kind < last)
    bank = (kind < second) & ~recorded if recipe.bank else torch.zeros_like(recorded)
    return _Kinds(recorded, bank | both, ((kind >= second) & (kind < third)) | both)


def _compose(
    streak_bank: Bank, draws: Draws, recipe: RainRecipe, recorded: RainyPair, kinds: _Kinds
) -> RainyPair:
    """Put the rendered kinds of rain on, and what camera and air do to both sides."""
    rainy, clean, streaks = recorded.rainy.clone(), recorded.clean.clone(), recorded.streaks.clone()
    own = ~kinds.recorded
    if own.any():
        rendered = _rendered(streak_bank, draws.only(own), recipe, clean[own], kinds.among(own))
        rainy[own], clean[own], streaks[own] = rendered.rainy, rendered.clean, rendered.streaks
    return RainyPair(rainy.clamp(0, 1), clean, streaks)


def _rendered(streak_bank: Bank, draws: Draws, recipe: RainRecipe, clean: Tensor, kinds: _Kinds) -> RainyPair:
    size = (clean.shape[-2], clean.shape[-1])
    if recipe.camera:
        clean = _filmed(draws, clean)
    streaks = clean.new_zeros(len(clean), 1, *size)
    for wanted, render in ((kinds.bank, _bank_streaks), (kinds.procedural, _procedural_streaks)):
        chosen = draws.only(wanted)
        if wanted.any():
            streaks[wanted] += render(chosen, streak_bank, size)
    cover = (draws.uniform() * draws.chance(0.5))[:, None, None, None]
    tint = draws.uniform(0.95, 1.05, shape=(3, 1, 1))
    streaks = streaks.clamp(0, 1)
    pair = RainyPair((clean * (1 - cover * streaks) + streaks * tint).clamp(0, 1), clean, streaks)
    return _developed(draws, pair) if recipe.camera else pair


def _filmed(draws: Draws, clean: Tensor) -> Tensor:
    """Exposure for all, a soft background for a quarter, mist for a third, clutter and gratings for some."""
    clean = camera.expose(draws, clean)
    for share, change in ((0.12, _grating), (0.25, camera.soften), (0.35, camera.veil), (0.16, _clutter)):
        chosen = draws.chance(share)
        branch = draws.only(chosen)  # also where none is: a sample's draws must not depend on its batch
        if chosen.any():
            clean[chosen] = change(branch, clean[chosen])
    return clean


def _developed(draws: Draws, pair: RainyPair) -> RainyPair:
    """Noise for a third and JPEG for a third, the same on both sides."""
    sides = torch.stack((pair.rainy, pair.clean))
    noisy, compressed = draws.chance(0.35), draws.chance(0.3)
    of_noise, of_quality = draws.only(noisy), draws.only(compressed)
    if noisy.any():
        height, width = pair.clean.shape[-2:]
        noise = camera.grain(of_noise, (height, width))
        sides[:, noisy] = (sides[:, noisy] + noise).clamp(0, 1)
    if compressed.any():
        quality = of_quality.uniform(60, 98)
        for side in sides:
            side[compressed] = camera.jpeg(side[compressed], quality)
    return RainyPair(sides[0], sides[1], pair.streaks)


def _clutter(draws: Draws, clean: Tensor) -> Tensor:
    """Draw dark or coloured streak-like detail into photographs, which is not rain: wires, grass, hair."""
    size = (clean.shape[-2], clean.shape[-1])
    lines = procedural_layer(draws, MEDIUM, draws.uniform(-math.pi / 2, math.pi / 2), size)
    colour = draws.uniform(shape=(3, 1, 1)) * draws.chance(0.5)[:, None, None, None]
    return torch.lerp(clean, colour * clean, lines.expand_as(clean))


def _grating(draws: Draws, clean: Tensor) -> Tensor:
    """Draw bright parallel or crossing lines, evenly spaced, which are not rain: fences, blinds, nets."""
    rows, columns = (torch.arange(extent, device=draws.device) for extent in clean.shape[-2:])
    angle, period = draws.uniform(-math.pi, math.pi), draws.log_uniform(5.0, 28.0)
    width = (period * draws.uniform(0.06, 0.2))[:, None, None]
    lines = torch.zeros(len(clean), *clean.shape[-2:], device=draws.device)
    crossing = draws.chance(0.6)
    for turn, wanted in ((0.0, torch.ones_like(crossing)), (math.pi / 2, crossing)):
        sine, cosine = torch.sin(angle + turn)[:, None, None], torch.cos(angle + turn)[:, None, None]
        across = columns * cosine + rows[:, None] * sine
        offset = torch.remainder(across, period[:, None, None]) - period[:, None, None] / 2
        lines = torch.maximum(lines, torch.exp(-0.5 * (offset / width) ** 2) * wanted[:, None, None])
    colour = draws.uniform(0.4, 1.0, shape=(1, 1, 1)) * draws.uniform(0.85, 1.0, shape=(3, 1, 1))
    strength = lines[:, None] * draws.uniform(0.3, 1.0, shape=(1, 1, 1))
    return torch.lerp(clean, colour.expand_as(clean), strength.expand_as(clean))


def _bank_streaks(draws: Draws, bank: Bank, size: tuple[int, int]) -> Tensor:
    """Sum one to four layers of the bank, turned about a common direction, (B, 1, H, W)."""
    turn = draws.uniform(-0.8, 0.8)
    count = 1 + draws.integer(BANK_LAYERS)
    total = torch.zeros(draws.batch, 1, *size, device=draws.device)
    for layer in range(BANK_LAYERS):
        index = draws.integer(len(bank))
        angle = turn + draws.uniform(-0.5, 0.5) * draws.chance(0.5)
        grid = _turned_grid(draws, bank, index, angle, size)
        gain = draws.log_uniform(0.4, 3.0) * (count > layer)
        total = total + sample(bank, index, grid) * gain[:, None, None, None]
    return total


def _procedural_streaks(draws: Draws, _: Bank, size: tuple[int, int]) -> Tensor:
    """Sum the kinds of procedural streaks, each with even odds, at least the fine ones, (B, 1, H, W)."""
    angle = draws.normal() * 0.35
    total = procedural_layer(draws, FINE, angle, size)
    for family in (MEDIUM, BOLD, FAINT_LONG):
        turned = angle + draws.uniform(-0.15, 0.15)
        total = total + procedural_layer(draws, family, turned, size) * _mask(draws.chance(0.5))
    return total


def _crop_grid(draws: Draws, bank: Bank, index: Tensor, scale: Tensor, size: int) -> Tensor:
    """Points of a square crop: any place, mirrored or not; whole pixels where scale is 1."""
    extent = (size - 1) * scale
    left, top = (
        (draws.uniform() * (length[index] - 1 - extent).clamp(min=0)).round()
        for length in (bank.widths, bank.heights)
    )
    steps = torch.arange(size, device=draws.device)
    columns = left[:, None] + steps * scale[:, None]
    rows = top[:, None] + steps * scale[:, None]
    columns = torch.where(draws.chance(0.5)[:, None], columns.flip(1), columns)
    return torch.stack(
        (columns[:, None, :].expand(-1, size, -1), rows[:, :, None].expand(-1, -1, size)), dim=-1
    )


def _turned_grid(draws: Draws, bank: Bank, index: Tensor, angle: Tensor, size: tuple[int, int]) -> Tensor:
    """Points of a crop anywhere in a layer, turned by an angle, rescaled and mirrored or not."""
    scale = draws.log_uniform(0.6, 1.5)
    flip = torch.where(draws.chance(0.5), 1.0, -1.0)
    sine, cosine = torch.sin(angle) * scale, torch.cos(angle) * scale
    rows, columns = (torch.arange(extent, device=draws.device) - extent / 2 for extent in size)
    centre_x, centre_y = (draws.uniform() * length[index] for length in (bank.widths, bank.heights))
    x = (flip * cosine)[:, None, None] * columns[None, None, :] - sine[:, None, None] * rows[None, :, None]
    y = (flip * sine)[:, None, None] * columns[None, None, :] + cosine[:, None, None] * rows[None, :, None]
    return torch.stack((x + centre_x[:, None, None], y + centre_y[:, None, None]), dim=-1)


def _mask(chosen: Tensor) -> Tensor:
    return chosen[:, None, None, None].float()

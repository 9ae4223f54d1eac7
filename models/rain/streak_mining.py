"""Streaks of real rain, taken from photographs and their derained versions, and judged before they are trained on.

What a network takes away, s = max(rainy - derained, 0), is rain, but also edges, signs and noise that it mistook
for rain. A window of it is kept if what is bright in it is elongated, lies in one direction, does not follow the
edges of the background, and is not found in mere noise; all else is refused with its reason. That rain is known by
these is the field's common sense; the formulas are ours: structure tensors and a correlation.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.rain.banks import Bank, bank_of
from models.structure_tensor import blurred, corner_gradients, structure_tensor

Picture = npt.NDArray[Any]
"""uint8, or floats in [0, 1], (H, W, 3)."""

Photograph = TypeVar("Photograph", int, str)
"""Number or name of a photograph."""
HOLD_OUT_EVERY = 4
"""The streaks of every fourth photograph with rain are held out for validation."""


class StreakBankEmpty(ValueError):
    """Nothing was accepted; the message says why each window was refused."""


@dataclass(frozen=True, slots=True)
class StreakRules:
    """Limits that a window of a rain layer must meet to be used in training. Ours."""

    side: int = 128
    """Side of the windows that a photograph is cut into and judged by."""
    floor: float = 3 / 255
    """Fainter streaks are set to zero: the traces of a network in texture are that faint."""
    least_strength: float = 0.25 / 255
    """Minimum `StreakFigures.strength`; layers that networks remove from clean photographs are below it."""
    least_elongation: float = 0.4
    """Minimum `StreakFigures.elongation`."""
    least_alignment: float = 0.85
    """Minimum `StreakFigures.alignment`."""
    most_edges: float = 0.25
    """Largest `StreakFigures.edges`."""
    least_structure: float = 0.16
    """Minimum `StreakFigures.structure`, unless streaks stand out: with less, the photograph is noise, in which
    networks also find streaks of one direction."""
    least_contrast: float = 0.3
    """`StreakFigures.contrast` from which streaks stand out and are accepted whatever lies behind them."""


@dataclass(frozen=True, slots=True)
class StreakFigures:
    """Measurements of a window of a rain layer."""

    strength: float
    """Mean of the layer."""
    elongation: float
    """Mean local anisotropy of the layer's gradients: near 1 for lines and edges, near 0 for noise and dots."""
    alignment: float
    """Agreement of the local directions: 1 for a single direction, near 0 for a uniform distribution."""
    angle: float
    """The common direction in radians; 0 falls straight down, positive to the right."""
    edges: float
    """Correlation of the layer with the strength of the background's edges, -1 to 1."""
    structure: float
    """The background's own mean local anisotropy: of noise about 0.14, of most photographs 0.3 to 0.8."""
    contrast: float
    """Root mean square of the layer's gradients, as a share of the background's."""


@dataclass(frozen=True, slots=True)
class StreakWindow:
    """One window that was judged."""

    crop: int
    """Number of the photograph, in the order they were given."""
    top: int
    left: int
    figures: StreakFigures
    reason: str
    """Reason for refusal in a word or two; empty if accepted."""
    layer: npt.NDArray[np.uint8] | None
    """(side, side) grey levels; None where it is refused."""


@dataclass(frozen=True, slots=True)
class StreakHarvest:
    """All windows of some photographs, accepted and refused."""

    windows: tuple[StreakWindow, ...]

    @property
    def layers(self) -> tuple[npt.NDArray[np.uint8], ...]:
        """Return the accepted layers."""
        return tuple(window.layer for window in self.windows if window.layer is not None)

    @property
    def refused(self) -> dict[str, int]:
        """Count the refused windows by reason."""
        return dict(Counter(window.reason for window in self.windows if window.reason))

    def split(self) -> tuple[Bank, Bank]:
        """Put the accepted layers into a bank to train on and one to judge by, of other photographs.

        With layers of a single photograph, both hold them all.

        Raises
        ------
        StreakBankEmpty
            If there is none.
        """
        found = [(window.crop, window.layer) for window in self.windows if window.layer is not None]
        return split_layers(found, self.refused)


def harvest_streaks(
    rainy: Sequence[Picture], derained: Sequence[Picture], rules: StreakRules | None = None
) -> StreakHarvest:
    """Cut rain layers out of photographs and judge each.

    Parameters
    ----------
    rainy, derained : sequence of ndarray
        The same photographs with and without rain, each (H, W, 3) of uint8 or of floats in [0, 1].
    rules : StreakRules, optional
        Limits; the defaults unless given.

    Raises
    ------
    ValueError
        If the two sequences differ in length, or a photograph in size from its derained version.
    """
    limits = rules or StreakRules()
    return StreakHarvest(
        tuple(
            window
            for number, (before, after) in enumerate(zip(rainy, derained, strict=True))
            for window in _windows(number, before, after, limits)
        )
    )


def split_layers(
    layers: Sequence[tuple[Photograph, npt.NDArray[np.uint8]]], refused: dict[str, int] | None = None
) -> tuple[Bank, Bank]:
    """Put accepted layers into a bank to train on and one to judge by, of other photographs.

    Parameters
    ----------
    layers : sequence of tuple
        The photograph that a layer comes from, by number or name, and the layer, (H, W) of uint8. With layers of
        a single photograph, both banks hold them all.
    refused : dict, optional
        What was refused, by reason, for the error if there is none.

    Raises
    ------
    StreakBankEmpty
        If there is none.
    """
    photographs = sorted({photograph for photograph, _ in layers})
    held_out = set(photographs[::HOLD_OUT_EVERY]) if len(photographs) > 1 else set()
    training, judging = (
        [layer for photograph, layer in layers if (photograph in held_out) == wanted]
        for wanted in (False, True)
    )
    return streak_bank(training, refused), streak_bank(judging or training, refused)


def streak_bank(layers: Sequence[npt.NDArray[np.uint8]], refused: dict[str, int] | None = None) -> Bank:
    """Put accepted layers, (H, W) of uint8, into a bank of one channel.

    Raises
    ------
    StreakBankEmpty
        If there is none; the message counts the refusals by reason.
    """
    if not layers:
        reasons = ", ".join(f"{count} {reason}" for reason, count in (refused or {}).items())
        raise StreakBankEmpty(
            f"no streaks of real rain to train on ({reasons or 'no photographs'}): the photographs show none,"
            " or the network that derained them finds none"
        )
    return bank_of([torch.from_numpy(np.ascontiguousarray(layer))[..., None] for layer in layers])


def rain_layer(rainy: Picture, derained: Picture) -> Tensor:
    """Return s = max(rainy - derained, 0), the mean of the channels: rain is grey; (H, W) floats in [0, 1].

    Raises
    ------
    ValueError
        If the two differ in size.
    """
    if rainy.shape != derained.shape:
        raise ValueError(f"rainy {rainy.shape} and derained {derained.shape}: not of one size")
    return (_floats(rainy) - _floats(derained)).clamp(min=0).mean(dim=-1)


def measure_streaks(streaks: Tensor, background: Tensor) -> StreakFigures:
    """Measure a rain layer.

    Parameters
    ----------
    streaks : Tensor
        (H, W) in [0, 1].
    background : Tensor
        (H, W) grey levels of the derained photograph, in [0, 1].
    """
    tensor = structure_tensor(streaks[None])
    local, along, cross = (float(part.sum()) for part in (tensor.strength, tensor.along, tensor.cross))
    edges, behind = torch.hypot(*corner_gradients(background[None])), structure_tensor(background[None])
    energy, energy_behind = (max(float(part.trace.sum()), 1e-12) for part in (tensor, behind))
    return StreakFigures(
        strength=float(streaks.mean()),
        elongation=local / energy,
        alignment=math.hypot(along, cross) / max(local, 1e-12),
        angle=-0.5 * math.atan2(cross, along),
        edges=_correlation(blurred(streaks[None], 1.0), blurred(edges, 1.0)),
        structure=float(behind.strength.sum()) / energy_behind,
        contrast=math.sqrt(energy / energy_behind),
    )


def refusal(figures: StreakFigures, rules: StreakRules) -> str:
    """Return why a window is refused; empty where it is not."""
    reasons = {
        "no rain found": figures.strength < rules.least_strength,
        "not elongated": figures.elongation < rules.least_elongation,
        "of many directions": figures.alignment < rules.least_alignment,
        "edges of the scene": figures.edges > rules.most_edges,
        "noise": figures.structure < rules.least_structure and figures.contrast < rules.least_contrast,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _windows(number: int, rainy: Picture, derained: Picture, rules: StreakRules) -> Iterator[StreakWindow]:
    layer, background = rain_layer(rainy, derained), _floats(derained).mean(dim=-1)
    for top, left in _corners(layer.shape[0], layer.shape[1], rules.side):
        where = (slice(top, top + rules.side), slice(left, left + rules.side))
        streaks = layer[where] * (layer[where] > rules.floor)
        figures = measure_streaks(streaks, background[where])
        reason = refusal(figures, rules)
        levels = None if reason else (255 * streaks).round().to(torch.uint8).numpy()
        yield StreakWindow(number, top, left, figures, reason, levels)


def _corners(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    """Spread as many windows as fit without overlap; a photograph smaller than one is one."""
    rows, columns = (
        [round(place) for place in np.linspace(0, max(extent - side, 0), max(extent // side, 1))]
        for extent in (height, width)
    )
    return itertools.product(rows, columns)


def _floats(picture: Picture) -> Tensor:
    floats = torch.from_numpy(np.ascontiguousarray(picture)).float()
    return floats / 255 if picture.dtype == np.uint8 else floats


def _correlation(first: Tensor, second: Tensor) -> float:
    """Pearson's, of two pictures; the first may be a pixel larger; 0 where one of them is flat."""
    ours = first[:, : second.shape[1], : second.shape[2]].flatten()
    theirs = second.flatten()
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    spread = float(ours.norm() * theirs.norm())
    return float(ours @ theirs) / spread if spread > 1e-9 else 0.0

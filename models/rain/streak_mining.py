"""Extraction of real streaks from photographs and their derained versions (`harvest_streaks`).

The layer that a network removes, s = max(rainy - derained, 0), is rain, but also edges, signs and noise that it
mistook for rain. A window of the layer is accepted if its bright parts are elongated, lie in one direction, do not
follow the edges of the background, and were not found in mere noise; other windows are refused with a reason. The
criteria are common in the field; the formulas (structure tensors and a correlation) are ours.
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
from torch.nn import functional as F

from models.rain.banks import Bank, bank_of
from models.structure_tensor import blurred, corner_gradients, structure_tensor

Picture = npt.NDArray[Any]
"""uint8, or floats in [0, 1], (H, W, 3)."""

Photograph = TypeVar("Photograph", int, str)
"""Number or name of a photograph."""
HOLD_OUT_EVERY = 4
"""The streaks of every fourth photograph with rain are held out for validation."""


class StreakBankEmpty(ValueError):
    """Raised if no window was accepted; the message counts the refusals by reason."""


@dataclass(frozen=True, slots=True)
class StreakRules:
    """Limits that a window of a rain layer must meet to be used in training (ours)."""

    side: int = 128
    """Side in pixels of the windows that a photograph is cut into."""
    floor: float = 3 / 255
    """Fainter streaks are set to zero: the traces that a network leaves in texture are that faint."""
    least_strength: float = 0.25 / 255
    """Minimum `StreakFigures.strength`: layers that networks remove from clean photographs are weaker."""
    least_elongation: float = 0.4
    """Minimum `StreakFigures.elongation`."""
    least_alignment: float = 0.85
    """Minimum `StreakFigures.alignment`."""
    most_edges: float = 0.25
    """Maximum `StreakFigures.edges`."""
    least_structure: float = 0.16
    """Minimum `StreakFigures.structure`, unless streaks stand out: below it the photograph is noise, in which
    networks also find streaks of one direction."""
    least_contrast: float = 0.3
    """`StreakFigures.contrast` from which streaks stand out and are accepted on any background."""


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
    """The common direction in radians: 0 is straight down, positive to the right."""
    edges: float
    """Correlation of the layer with the strength of the background's edges, -1 to 1."""
    structure: float
    """Mean local anisotropy of the background: about 0.14 for noise, 0.3 to 0.8 for most photographs."""
    contrast: float
    """Root mean square of the layer's gradients, as a share of the background's."""


@dataclass(frozen=True, slots=True)
class StreakWindow:
    """One window with its measurements, accepted or refused."""

    crop: int
    """Number of the photograph in the given order."""
    top: int
    left: int
    figures: StreakFigures
    reason: str
    """Reason for the refusal in a few words; empty if accepted."""
    layer: npt.NDArray[np.uint8] | None
    """(side, side) grey levels; None if refused."""


@dataclass(frozen=True, slots=True)
class StreakHarvest:
    """All windows of several photographs, accepted and refused."""

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
        """Split the accepted layers by photograph into a bank for training and one for validation.

        With layers of a single photograph, both banks contain all of them.

        Raises
        ------
        StreakBankEmpty
            If no layer was accepted.
        """
        found = [(window.crop, window.layer) for window in self.windows if window.layer is not None]
        return split_layers(found, self.refused)


def harvest_streaks(
    rainy: Sequence[Picture], derained: Sequence[Picture], rules: StreakRules | None = None
) -> StreakHarvest:
    """Cut the rain layers of photographs into windows and accept or refuse each.

    Parameters
    ----------
    rainy, derained : sequence of ndarray
        The same photographs with and without rain, each (H, W, 3) of uint8 or of floats in [0, 1].
    rules : StreakRules, optional
        Limits; by default those of `StreakRules`.

    Raises
    ------
    ValueError
        If the sequences differ in length, or a photograph and its derained version in size.
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
    """Split accepted layers by photograph into a bank for training and one for validation.

    Parameters
    ----------
    layers : sequence of tuple
        The photograph that a layer comes from, by number or name, and the layer, (H, W) uint8. With layers of a
        single photograph, both banks contain all of them.
    refused : dict, optional
        Number of refused windows by reason, for the error message.

    Raises
    ------
    StreakBankEmpty
        If there are no layers.
    """
    photographs = sorted({photograph for photograph, _ in layers})
    held_out = set(photographs[::HOLD_OUT_EVERY]) if len(photographs) > 1 else set()
    training = [layer for photograph, layer in layers if photograph not in held_out]
    validation = [layer for photograph, layer in layers if photograph in held_out]
    return streak_bank(training, refused), streak_bank(validation or training, refused)


def streak_bank(layers: Sequence[npt.NDArray[np.uint8]], refused: dict[str, int] | None = None) -> Bank:
    """Build a bank of one channel from accepted layers, (H, W) uint8 each.

    Raises
    ------
    StreakBankEmpty
        If there are no layers; the message counts the refusals by reason.
    """
    if not layers:
        reasons = ", ".join(f"{count} {reason}" for reason, count in (refused or {}).items())
        raise StreakBankEmpty(
            f"no streaks of real rain to train on ({reasons or 'no photographs'}): the photographs show none,"
            " or the network that derained them finds none"
        )
    return bank_of([torch.from_numpy(np.ascontiguousarray(layer))[..., None] for layer in layers])


def rain_layer(rainy: Picture, derained: Picture) -> Tensor:
    """Return s = max(rainy - derained, 0), averaged over channels because rain is grey; (H, W) floats in [0, 1].

    Raises
    ------
    ValueError
        If they differ in size.
    """
    if rainy.shape != derained.shape:
        raise ValueError(f"rainy {rainy.shape} and derained {derained.shape} differ in size")
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
    """Return the reason why a window is refused, or an empty string."""
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
    if min(layer.shape) < 2:  # a line of pixels has no structure to measure
        return
    for top, left in _corners(layer.shape[0], layer.shape[1], rules.side):
        where = (slice(top, top + rules.side), slice(left, left + rules.side))
        streaks = layer[where] * (layer[where] > rules.floor)
        figures = measure_streaks(streaks, background[where])
        reason = refusal(figures, rules)
        levels = None if reason else _with_skirts(layer[where], streaks > 0)
        yield StreakWindow(number, top, left, figures, reason, levels)


def _with_skirts(layer: Tensor, cores: Tensor) -> npt.NDArray[np.uint8]:
    """Return grey levels of streaks, (H, W): their cores and the two pixels around them, which fade out."""
    near = F.max_pool2d(cores[None].float(), 5, stride=1, padding=2)[0]
    return (255 * layer * near).round().to(torch.uint8).numpy()


def _corners(height: int, width: int, side: int) -> Iterator[tuple[int, int]]:
    """Spread as many windows as fit without overlap; a photograph smaller than a window is one window."""
    rows, columns = (
        [round(place) for place in np.linspace(0, max(extent - side, 0), max(extent // side, 1))]
        for extent in (height, width)
    )
    return itertools.product(rows, columns)


def _floats(picture: Picture) -> Tensor:
    floats = torch.from_numpy(np.ascontiguousarray(picture)).float()
    return floats / 255 if picture.dtype == np.uint8 else floats


def _correlation(first: Tensor, second: Tensor) -> float:
    """Return Pearson's correlation of two pictures, 0 if one is flat; the first may be a pixel larger."""
    left = first[:, : second.shape[1], : second.shape[2]].flatten()
    right = second.flatten()
    left, right = left - left.mean(), right - right.mean()
    spread = float(left.norm() * right.norm())
    return float(left @ right) / spread if spread > 1e-9 else 0.0

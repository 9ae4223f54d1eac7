"""Thin drawn lines: paths of soft dots, with width and brightness that change along them.

What probes are drawn with. Streaks for training come from another renderer (`models.streaks`), so that a network
cannot know a probe by how it was made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SPACING = 0.4
"""Pixels between the dots of a line: less than half its width, so that no dot is seen."""
REACH = 3.0
"""Standard deviations at which a dot ends."""


@dataclass(frozen=True, slots=True)
class Strokes:
    """S lines of P dots; every field is (S, P).

    `rows` and `columns` are in pixels and may lie outside the frame; `width` is the standard deviation of a dot
    in pixels; `brightness` its peak.
    """

    rows: Tensor
    columns: Tensor
    width: Tensor
    brightness: Tensor

    def draw(self, size: tuple[int, int]) -> Tensor:
        """Draw the lines, (H, W); where they cross, the brighter one is seen."""
        height, width = size
        rows, columns = self.rows.flatten(), self.columns.flatten()
        reach = math.ceil(REACH * float(self.width.max()))
        near = torch.arange(-reach, reach + 1)
        at_rows = rows.round().long()[:, None, None] + near[:, None]
        at_columns = columns.round().long()[:, None, None] + near[None, :]
        distance = (at_rows - rows[:, None, None]) ** 2 + (at_columns - columns[:, None, None]) ** 2
        spread = self.width.flatten()[:, None, None]
        dots = self.brightness.flatten()[:, None, None] * torch.exp(-0.5 * distance / spread**2)
        inside = (at_rows >= 0) & (at_rows < height) & (at_columns >= 0) & (at_columns < width)
        layer = torch.zeros(height * width)
        pixels = (at_rows * width + at_columns)[inside]
        return layer.scatter_reduce_(0, pixels, dots[inside], "amax").reshape(height, width)


def along(longest: float) -> Tensor:
    """Return the places of the dots on a line of at most this length: (P,), from 0 at its start to 1."""
    return torch.linspace(0, 1, max(2, math.ceil(longest / SPACING) + 1))


def path(start: tuple[Tensor, Tensor], length: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Follow directions from a start.

    Parameters
    ----------
    start : tuple of Tensor
        Rows and columns, (S, 1).
    length : Tensor
        (S, 1) pixels.
    angle : Tensor
        (S, P) direction at each dot in radians; 0 goes straight down.

    Returns
    -------
    tuple of Tensor
        Rows and columns of the dots, (S, P).
    """
    step = length / (angle.shape[1] - 1)
    down, right = torch.cos(angle) * step, torch.sin(angle) * step
    return start[0] + down.cumsum(1) - down[:, :1], start[1] + right.cumsum(1) - right[:, :1]

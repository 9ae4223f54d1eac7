"""Thin lines (`Strokes`): paths of soft dots whose width and brightness change along them.

Probes are drawn with them. Streaks for training come from another renderer (`models.rain.streaks`), so that a
network cannot recognise a probe by its rendering.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

SPACING = 0.4
"""Pixels between the dots of a line: less than half its width, so that no dot is seen."""
CUTOFF = 3.0
"""Radius at which a dot ends, in standard deviations."""


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
        """Draw the lines, (H, W); where they cross, the brighter one is visible."""
        radius = math.ceil(CUTOFF * float(self.width.max()))
        seen = self._apart() & self._near(size, radius)
        rows, columns, spread, brightness = (
            part[seen] for part in (self.rows, self.columns, self.width, self.brightness)
        )
        near = torch.arange(-radius, radius + 1)
        at_rows, at_columns = (part.round().long()[:, None] + near for part in (rows, columns))
        down, right = (
            torch.exp(-0.5 * ((at - part[:, None]) / spread[:, None]) ** 2)
            for at, part in ((at_rows, rows), (at_columns, columns))
        )
        dots = (brightness[:, None] * down)[:, :, None] * right[:, None, :]
        height, width = (extent + 4 * radius for extent in size)  # room for dots that the frame cuts
        pixels = (at_rows[:, :, None] + 2 * radius) * width + at_columns[:, None, :] + 2 * radius
        canvas = torch.zeros(height * width).scatter_reduce_(0, pixels.flatten(), dots.flatten(), "amax")
        return canvas.reshape(height, width)[2 * radius : -2 * radius, 2 * radius : -2 * radius]

    def _apart(self) -> Tensor:
        """Mark dots that are `SPACING` apart, (S, P): a short line needs few of its dots."""
        walked = torch.hypot(self.rows.diff(dim=1), self.columns.diff(dim=1)).cumsum(1)
        reached = (walked / SPACING).floor()
        first = torch.ones_like(self.rows[:, :1])
        return torch.cat((first, reached.diff(dim=1, prepend=0 * first)), 1) > 0

    def _near(self, size: tuple[int, int], radius: int) -> Tensor:
        """Mark the dots that may be visible in the frame, (S, P)."""
        height, width = size
        in_rows = (self.rows > -radius) & (self.rows < height + radius - 1)
        return in_rows & (self.columns > -radius) & (self.columns < width + radius - 1)


def along(longest: float) -> Tensor:
    """Return positions from 0 to 1 along a line, (P,), dense enough for a line of this length in pixels."""
    return torch.linspace(0, 1, max(2, math.ceil(2 * longest / SPACING) + 1))


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

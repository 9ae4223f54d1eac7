"""Exact receptive fields (`ReceptiveField`), computed from a network's structure; they determine a tile's halo.

The interval of input pixels that each cell of a feature map depends on is followed through the network. Cells of a
strided network do not all look equally far, so there is one interval for each cell of a period (the coarsest cell
of the network), and the result is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import torch


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """First and last input pixel, along one side, that each cell of a period depends on.

    `cell` is the width of a cell in input pixels; cell i of the period covers the pixels from i * cell on.
    """

    cell: int
    first: tuple[int, ...]
    last: tuple[int, ...]

    @property
    def period(self) -> int:
        """Input pixels after which the pattern repeats."""
        return self.cell * len(self.first)

    @property
    def radius(self) -> int:
        """Distance in pixels of the farthest input pixel that any pixel of any cell depends on."""
        return max(
            max((i + 1) * self.cell - 1 - first, last - i * self.cell)
            for i, (first, last) in enumerate(zip(self.first, self.last, strict=True))
        )

    def conv(self, radius: int = 1) -> ReceptiveField:
        """Return the field after convolutions of stride 1 with a total radius of `radius` cells."""
        return self._after(self.cell, lambda i: range(i - radius, i + radius + 1))

    def strided(self, kernel: int) -> ReceptiveField:
        """Return the field after a convolution of stride 2: kernel 2, or kernel 3 with one cell of padding."""
        return self._after(2 * self.cell, lambda i: range(2 * i - kernel + 2, 2 * i + 2))

    def transposed(self, kernel: int) -> ReceptiveField:
        """Return the field after a transposed convolution of stride 2.

        The kernel is 2, or 3 with padding 1 and output padding 1.
        """
        return self._after(self.cell // 2, lambda i: range(i // 2, (i + kernel - 2) // 2 + 1))

    def __or__(self, other: ReceptiveField) -> ReceptiveField:
        """Return the field after adding, multiplying or concatenating two maps of one size."""
        return ReceptiveField(
            self.cell,
            tuple(map(min, self.first, other.first)),
            tuple(map(max, self.last, other.last)),
        )

    def _after(self, cell: int, window: Callable[[int], range]) -> ReceptiveField:
        cells = range(self.period // cell)
        return ReceptiveField(
            cell,
            tuple(min(self._at(self.first, j) for j in window(i)) for i in cells),
            tuple(max(self._at(self.last, j) for j in window(i)) for i in cells),
        )

    def _at(self, pixels: tuple[int, ...], index: int) -> int:
        periods, within = divmod(index, len(pixels))
        return pixels[within] + periods * self.period


def input_receptive_field(cell: int, period: int) -> ReceptiveField:
    """Return the field of a photograph whose blocks of `cell` pixels were unshuffled into channels."""
    starts = range(0, period, cell)
    return ReceptiveField(cell, tuple(starts), tuple(start + cell - 1 for start in starts))


class _Measurable(Protocol):
    def receptive_field(self) -> ReceptiveField: ...


@cache
def radius_without_weights(network: Callable[[Any], _Measurable], config: Any) -> int:
    """Return how far a network looks, in pixels, without allocating its weights.

    Parameters
    ----------
    network : callable
        Class of the network.
    config : NetworkConfig
        Its sizes.
    """
    with torch.device("meta"):
        return network(config).receptive_field().radius

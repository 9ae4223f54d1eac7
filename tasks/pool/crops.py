"""Choice of training crops: the rainiest non-overlapping squares of a photograph (`boxes_by_energy`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from infra.catalog.pool_zarr import CROP_SIDE
from models.images import RgbImage

STEP = 32
"""Crops start at multiples of this many pixels, or end at the border of the image."""

Places = npt.NDArray[np.int64]
Energies = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of an upright image, in pixels."""

    top: int
    left: int
    height: int
    width: int


def streak_response(rgb: RgbImage) -> RgbImage:
    """Return the response to bright structures less than seven pixels wide, such as rain streaks.

    This is the white top-hat of the luma (BT.601) with a horizontal line of seven pixels (Serra, 1982), that is,
    the luma minus its opening by that line. Thin branches and text respond as well; horizontal lines and the edges
    of large objects do not.

    Parameters
    ----------
    rgb : ndarray
        (H, W, 3) uint8.

    Returns
    -------
    ndarray
        (H, W) uint8, grey levels above the opened luma.
    """
    luma = np.asarray(Image.fromarray(rgb).convert("L"))
    eroded = _over_seven(luma, np.minimum)
    return luma - _over_seven(eroded, np.maximum)


def streak_energy(response: RgbImage) -> float:
    """Return the mean response as a fraction of the grey range."""
    return float(response.mean()) / 255


def boxes_by_energy(response: RgbImage, side: int = CROP_SIDE) -> Iterator[Box]:
    """Yield non-overlapping squares, the largest mean response first, until no further square fits.

    Parameters
    ----------
    response : ndarray
        (H, W) uint8, from `streak_response`.
    side : int
        Side of the squares in pixels; along an axis on which the image is smaller, the box covers all of it.
    """
    height, width = (min(side, extent) for extent in response.shape)
    tops, lefts = (_starts(extent, side) for extent in response.shape)
    energies = _box_sums(response, (tops, tops + height), (lefts, lefts + width))
    while energies.max(initial=-1.0) >= 0:
        row, column = np.unravel_index(int(energies.argmax()), energies.shape)
        yield Box(int(tops[row]), int(lefts[column]), height, width)
        near = np.ix_(abs(tops - tops[row]) < height, abs(lefts - lefts[column]) < width)
        energies[near] = -1.0


def cut(rgb: RgbImage, box: Box, side: int = CROP_SIDE) -> RgbImage:
    """Cut out a box, (side, side, 3); smaller boxes are padded below and on the right by reflection."""
    part = rgb[box.top : box.top + box.height, box.left : box.left + box.width]
    below, right = side - part.shape[0], side - part.shape[1]
    return np.pad(part, ((0, below), (0, right), (0, 0)), mode="reflect") if below or right else part


def _over_seven(luma: RgbImage, extreme: np.ufunc) -> RgbImage:
    """Reduce over windows of seven pixels along rows, with repeated ends: windows of 2, of 4, then two of 4."""
    padded = np.pad(luma, ((0, 0), (3, 3)), mode="edge")
    two = extreme(padded[:, :-1], padded[:, 1:])
    four = extreme(two[:, :-2], two[:, 2:])
    seven: RgbImage = extreme(four[:, :-3], four[:, 3:])
    return seven


def _starts(extent: int, side: int) -> Places:
    """Return the offsets at which a square may start."""
    last = max(extent - side, 0)
    return np.unique([*range(0, last, STEP), last])


def _box_sums(response: RgbImage, rows: tuple[Places, Places], columns: tuple[Places, Places]) -> Energies:
    """Sum the response over all boxes, given as half-open ranges of R rows and C columns; return (R, C).

    Uses a summed-area table (Crow, 1984) whose cells lie between neighbouring box edges.
    """
    row_edges, column_edges = (np.union1d(0, np.concatenate(ends)) for ends in (rows, columns))  # (r,), (c,)
    cells = np.add.reduceat(response, row_edges[:-1], axis=0, dtype=np.float64)[:, : column_edges[-1]]
    cells = np.add.reduceat(cells, column_edges[:-1], axis=1)  # (r - 1, c - 1)
    table = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))  # (r, c)
    (top, bottom), (left, right) = (
        (np.searchsorted(edges, ends[0]), np.searchsorted(edges, ends[1]))
        for edges, ends in ((row_edges, rows), (column_edges, columns))
    )
    sums: Energies = (
        table[np.ix_(bottom, right)]
        - table[np.ix_(top, right)]
        - table[np.ix_(bottom, left)]
        + table[np.ix_(top, left)]
    )
    return np.maximum(sums, 0.0)  # (R, C)

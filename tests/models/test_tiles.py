"""Tiles cover a photograph once, read their surroundings, and stay within the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from models.engine import Tile, tiles

CUTS = st.tuples(
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(0, 6),
    st.integers(1, 30_000),
    st.sampled_from([1, 4, 8]),
)


def cut(case: tuple[int, int, int, int, int]) -> tuple[list[Tile], tuple[int, int, int, int, int]]:
    rows, columns, halo_cells, tile_pixels, multiple = case
    numbers = (rows * multiple, columns * multiple, halo_cells * multiple, tile_pixels, multiple)
    return list(tiles(*numbers)), numbers


@given(CUTS)
@settings(deadline=None)
def test_kept_parts_cover_the_photograph_once(case):
    cuts, (height, width, _, _, multiple) = cut(case)
    covered = np.zeros((height, width), dtype=int)
    for tile in cuts:
        covered[tile.keep] += 1
        assert covered[tile.keep].size > 0
        assert tile.keep[0].start % multiple == tile.keep[1].start % multiple == 0
        assert tile.read[0].start % multiple == tile.read[1].start % multiple == 0
    assert (covered == 1).all()


@given(CUTS)
@settings(deadline=None)
def test_reads_are_the_kept_part_and_its_halo_within_the_photograph(case):
    cuts, (height, width, halo_pixels, _, _) = cut(case)
    for tile in cuts:
        for keep, read, inner, extent in zip(tile.keep, tile.read, tile.inner, (height, width), strict=True):
            assert read == slice(max(keep.start - halo_pixels, 0), min(keep.stop + halo_pixels, extent))
            assert range(read.start, read.stop)[inner] == range(keep.start, keep.stop)


@given(CUTS)
@settings(deadline=None)
def test_reads_keep_to_the_budget_where_it_can_be_kept(case):
    cuts, (height, width, halo_pixels, tile_pixels, multiple) = cut(case)
    if height * width <= tile_pixels:
        assert len(cuts) == 1
    feasible = max(tile_pixels, max(3 * halo_pixels, multiple) ** 2)
    assert max(area(tile) for tile in cuts) <= feasible


def area(tile: Tile) -> int:
    rows, columns = tile.read
    return (rows.stop - rows.start) * (columns.stop - columns.start)


def test_a_long_strip_is_cut_along_its_length():
    cuts = list(tiles(24, 20_000, 104, 100_000, 8))
    assert all(tile.keep[0] == slice(0, 24) for tile in cuts)
    assert len(cuts) == 6

"""Zarr groups of the pool: how crops lie in them, one writer a shard, and what of them is garbage.

`<workspace>/pool/<run_id>.zarr` has two arrays, a row a crop: `rainy` (N, 512, 512, 3) uint8, a chunk a crop and
64 crops a shard, and `valid_size` (N, 2) uint16, height and width of what is no reflection. Rows of a shard that
no crop needed are zeros. N is a multiple of 64, so that every shard is written whole, in one piece.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import zarr

from infra.storage.location import ObjectNotFound, open_location
from infra.storage.zarr_store import LocationStore, create_array, open_array, read_rows

CROP_SIDE = 512
SHARD_CROPS = 64
FOLDER = "pool"
_RAINY, _VALID_SIZE = "rainy", "valid_size"
_SUFFIX = ".zarr"


class RowsOfGroup(NamedTuple):
    """Rows of the catalog whose pixels lie in one group."""

    group: str
    places: npt.NDArray[np.int64]
    """Which of the rows these are."""
    wanted: npt.NDArray[np.int64]
    """Rows of the group, rising, each once."""
    position: npt.NDArray[np.int64]
    """Where among `wanted` each of them is."""


def group_name(run_id: str) -> str:
    """Name the group of a run, relative to the workspace."""
    return f"{FOLDER}/{run_id}{_SUFFIX}"


def make_room(workspace: str, group: str, shards: int) -> None:
    """Create a group with room for so many shards, or let it grow to that."""
    url, rows = f"{workspace}/{group}", shards * SHARD_CROPS
    if not open_location(url).exists(f"{_VALID_SIZE}/zarr.json"):  # made last
        zarr.open_group(LocationStore(open_location(url)), mode="a")
        crop = (CROP_SIDE, CROP_SIDE, 3)
        create_array(f"{url}/{_RAINY}", (rows, *crop), (1, *crop), (SHARD_CROPS, *crop))
        create_array(f"{url}/{_VALID_SIZE}", (rows, 2), (SHARD_CROPS, 2), dtype="uint16")
        return
    for name, rest in ((_RAINY, (CROP_SIDE, CROP_SIDE, 3)), (_VALID_SIZE, (2,))):
        open_array(f"{url}/{name}", read_only=False).resize((rows, *rest))


def write_shard(
    workspace: str, group: str, number: int, crops: npt.NDArray[np.uint8], sizes: npt.NDArray[np.uint16]
) -> None:
    """Write one shard, whole; nobody else may write it.

    Parameters
    ----------
    workspace, group : str
        Where; there is room for it.
    number : int
        Of the shard: its first crop is row `64 * number`.
    crops : ndarray
        (64, 512, 512, 3) uint8; rows that no crop needs are zeros.
    sizes : ndarray
        (64, 2) uint16, valid height and width of each.
    """
    rows = slice(number * SHARD_CROPS, (number + 1) * SHARD_CROPS)
    _open(workspace, group, _RAINY)[rows] = crops
    _open(workspace, group, _VALID_SIZE)[rows] = sizes


def read_crops(workspace: str, group: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Read crops by row, (n, 512, 512, 3); only these are fetched.

    Parameters
    ----------
    workspace, group : str
        Where.
    rows : ndarray
        (n,) rising, committed in the catalog: what was never written reads as zeros.
    """
    return read_rows(f"{workspace}/{group}/{_RAINY}", rows)


def by_group(rows: pl.DataFrame) -> Iterator[RowsOfGroup]:
    """Sort rows of the catalog by the Zarr group that holds their pixels; `zarr_group` and `zarr_row` are read."""
    groups, numbers = rows["zarr_group"].to_numpy(), rows["zarr_row"].to_numpy()
    for group in rows["zarr_group"].unique(maintain_order=True):
        places = np.flatnonzero(groups == group)
        wanted, position = np.unique(numbers[places].astype(np.int64), return_inverse=True)
        yield RowsOfGroup(group, places, wanted, position)


def sweep(workspace: str, committed: Collection[tuple[str, int]]) -> int:
    """Remove what no committed row needs: whole groups, or shards of groups that others of it need.

    Parameters
    ----------
    workspace : str
        No ingest may be under way in it but the caller's, which has not written yet.
    committed : collection of (str, int)
        Group and number of every shard that has a committed row.

    Returns
    -------
    int
        How many objects were removed.
    """
    location = open_location(f"{workspace}/{FOLDER}")
    groups = {group for group, _ in committed}
    swept = 0
    try:
        for ref in location.list():
            name, _, inside = ref.key.partition("/")
            group = f"{FOLDER}/{name}"
            if name.endswith(_SUFFIX) and not _is_needed(group, inside, groups, committed):
                location.delete(ref.key)
                swept += 1
    except ObjectNotFound:  # no group yet
        return 0
    return swept


def _is_needed(
    group: str, inside: str, groups: Collection[str], committed: Collection[tuple[str, int]]
) -> bool:
    """Tell whether an object of a group is needed: metadata with the group, `<array>/c/<shard>/...` by itself."""
    if group not in groups:
        return False
    _, *rest = inside.split("/")
    return rest[:1] != ["c"] or (group, int(rest[1])) in committed


def _open(workspace: str, group: str, name: str) -> zarr.Array[Any]:
    return open_array(f"{workspace}/{group}/{name}", read_only=False)

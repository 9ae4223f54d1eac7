"""Zarr groups of the pool: their layout, writing (one writer per shard), reading, and the removal of garbage.

`<workspace>/pool/<run_id>.zarr` has two arrays with one row per crop: `rainy` (N, 512, 512, 3) uint8, with one crop
per chunk and 64 crops per shard, and `valid_size` (N, 2) uint16, the height and width of the part that is not
reflection. Unused rows of a shard are zeros. N is a multiple of 64, so that every shard is written in one piece.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import zarr

from infra.storage.location import existing, open_location
from infra.storage.zarr_store import LocationStore, create_array, open_array, read_rows

CROP_SIDE = 512
SHARD_CROPS = 64
FOLDER = "pool"
_RAINY, _VALID_SIZE = "rainy", "valid_size"
_SUFFIX = ".zarr"


class RowsOfGroup(NamedTuple):
    """Catalog rows whose pixels lie in one group."""

    group: str
    indices: npt.NDArray[np.int64]
    """Indices of these rows among all rows that were given."""
    wanted: npt.NDArray[np.int64]
    """Distinct rows of the group to read, in ascending order."""
    position: npt.NDArray[np.int64]
    """Index into `wanted` for each entry of `indices`."""


def group_name(run_id: str) -> str:
    """Return the path of a run's group, relative to the workspace."""
    return f"{FOLDER}/{run_id}{_SUFFIX}"


def make_room(workspace: str, group: str, shards: int) -> None:
    """Create a group with room for `shards` shards, or enlarge an existing one to that size."""
    url, rows = f"{workspace}/{group}", shards * SHARD_CROPS
    if not open_location(url).exists(f"{_VALID_SIZE}/zarr.json"):  # created last
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
    """Write one shard as a whole; it must have no other writer.

    Parameters
    ----------
    workspace, group : str
        The group, which must have room for the shard.
    number : int
        Number of the shard, whose first crop is row `64 * number`.
    crops : ndarray
        (64, 512, 512, 3) uint8 RGB; unused rows are zeros.
    sizes : ndarray
        (64, 2) uint16, valid height and width of each crop in pixels.
    """
    rows = slice(number * SHARD_CROPS, (number + 1) * SHARD_CROPS)
    _open(workspace, group, _RAINY)[rows] = crops
    _open(workspace, group, _VALID_SIZE)[rows] = sizes


def read_crops(workspace: str, group: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
    """Read crops by row, (n, 512, 512, 3) uint8 RGB, and fetch nothing else.

    Parameters
    ----------
    workspace, group : str
        The group to read from.
    rows : ndarray
        (n,) ascending row numbers. They must be committed in the catalog: unwritten rows read as zeros.
    """
    return read_rows(f"{workspace}/{group}/{_RAINY}", rows)


def by_group(rows: pl.DataFrame) -> Iterator[RowsOfGroup]:
    """Group catalog rows by the Zarr group that holds their pixels; only `zarr_group` and `zarr_row` are used."""
    groups, numbers = rows["zarr_group"].to_numpy(), rows["zarr_row"].to_numpy()
    for group in rows["zarr_group"].unique(maintain_order=True):
        indices = np.flatnonzero(groups == group)
        wanted, position = np.unique(numbers[indices].astype(np.int64), return_inverse=True)
        yield RowsOfGroup(group, indices, wanted, position)


def sweep(workspace: str, committed: Collection[tuple[str, int]]) -> int:
    """Remove objects that no committed row needs: whole groups, or single shards of a group that is still in use.

    Parameters
    ----------
    workspace : str
        No other ingest may be running in it, and the caller's must not have written yet.
    committed : collection of (str, int)
        Group and shard number of every shard that has a committed row.

    Returns
    -------
    int
        Number of removed objects.
    """
    location = open_location(f"{workspace}/{FOLDER}")
    groups = {group for group, _ in committed}
    swept = 0
    for ref in existing(location):
        name, _, inside = ref.key.partition("/")
        group = f"{FOLDER}/{name}"
        if name.endswith(_SUFFIX) and not _is_needed(group, inside, groups, committed):
            location.delete(ref.key)
            swept += 1
    return swept


def _is_needed(
    group: str, inside: str, groups: Collection[str], committed: Collection[tuple[str, int]]
) -> bool:
    """Return whether an object is needed: metadata if its group is, `<array>/c/<shard>/...` if its shard is."""
    if group not in groups:
        return False
    _, *rest = inside.split("/")
    return rest[:1] != ["c"] or (group, int(rest[1])) in committed


def _open(workspace: str, group: str, name: str) -> zarr.Array[Any]:
    return open_array(f"{workspace}/{group}/{name}", read_only=False)

"""Zarr groups of pseudo-labels: their layout, writing (one writer per group), reading, and removal of garbage.

`<workspace>/pseudo/<run_id>.zarr` has two arrays with one row per pseudo-label: `pseudo_label` (N, 512, 512, 3)
uint8 and `confidence` (N, 512, 512) uint8, with one crop per chunk and 64 crops per shard. N is a multiple of 64,
so that every shard is written in one piece; rows beyond the last pseudo-label are zeros.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zarr

from infra.catalog.pool_zarr import CROP_SIDE, SHARD_CROPS
from infra.storage.location import ObjectNotFound, open_location
from infra.storage.zarr_store import LocationStore, create_array, read_rows

FOLDER = "pseudo"
_SUFFIX = ".zarr"
_SIDES = (CROP_SIDE, CROP_SIDE)
_REST = {"pseudo_label": (*_SIDES, 3), "confidence": _SIDES}

Pixels = npt.NDArray[np.uint8]


class PseudoPixels(NamedTuple):
    """Pixels of one pseudo-label (without the axis N) or of several."""

    pseudo_label: Pixels
    """(N, 512, 512, 3) uint8 RGB."""
    confidence: Pixels
    """(N, 512, 512) uint8, from 0 (nothing known) to 255 (certain)."""


def group_name(run_id: str) -> str:
    """Return the path of a run's group, relative to the workspace."""
    return f"{FOLDER}/{run_id}{_SUFFIX}"


def write_group(workspace: str, group: str, count: int, labels: Iterable[PseudoPixels]) -> None:
    """Write a whole group, one shard at a time; it must have no other writer.

    Parameters
    ----------
    workspace, group : str
        The group to write; the remains of a killed run must have been swept.
    count : int
        Number of pseudo-labels.
    labels : iterable of PseudoPixels
        The pseudo-labels in the order of their rows; only one shard of them is held in memory.
    """
    url, rows = f"{workspace}/{group}", -(-count // SHARD_CROPS) * SHARD_CROPS
    zarr.open_group(LocationStore(open_location(url)), mode="a")
    arrays = [
        create_array(f"{url}/{name}", (rows, *rest), (1, *rest), (SHARD_CROPS, *rest))
        for name, rest in _REST.items()
    ]
    remaining = iter(labels)
    for first in range(0, rows, SHARD_CROPS):
        chosen = list(islice(remaining, SHARD_CROPS))
        for array, name in zip(arrays, _REST, strict=True):
            shard = np.zeros((SHARD_CROPS, *_REST[name]), np.uint8)
            for place, label in enumerate(chosen):
                shard[place] = getattr(label, name)
            array[first : first + SHARD_CROPS] = shard


def read_labels(workspace: str, group: str, rows: npt.NDArray[np.int64]) -> PseudoPixels:
    """Read pseudo-labels by row, in rising order, and fetch nothing else."""
    return PseudoPixels(*(read_rows(f"{workspace}/{group}/{name}", rows) for name in _REST))


def sweep(workspace: str, committed: Collection[str]) -> int:
    """Remove the groups that no committed row names; return the number of removed objects.

    No other curation may be running in the workspace.
    """
    location, swept = open_location(f"{workspace}/{FOLDER}"), 0
    for key in _keys_of_groups(workspace):
        if f"{FOLDER}/{key.partition('/')[0]}" not in committed:
            location.delete(key)
            swept += 1
    return swept


def _keys_of_groups(workspace: str) -> Iterator[str]:
    try:
        keys = [ref.key for ref in open_location(f"{workspace}/{FOLDER}").list()]
    except ObjectNotFound:  # no group yet
        return
    yield from (key for key in keys if key.partition("/")[0].endswith(_SUFFIX))

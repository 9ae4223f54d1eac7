"""Zarr groups of pseudo-labels: their layout, writing (one writer per group), reading, and removal of garbage.

`<workspace>/pseudo/<name>.zarr` has two arrays with one row per pseudo-label: `pseudo_label` (N, 512, 512, 3) uint8
and `confidence` (N, 512, 512) uint8, with one crop per chunk. A worker writes a group per shard of crops that it
judges, and each array is a single object. Older groups hold all pseudo-labels of a run, with 64 crops per object
and zeros beyond the last one; they are read in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import zarr

from infra.catalog.pool_zarr import CROP_SIDE
from infra.storage.location import existing, open_location
from infra.storage.zarr_store import LocationStore, create_array, read_rows

FOLDER = "pseudo"
_SUFFIX = ".zarr"
_SIDES = (CROP_SIDE, CROP_SIDE)
_REST = {"pseudo_label": (*_SIDES, 3), "confidence": _SIDES}
_OBJECTS = 1 + 2 * len(_REST)
"""Number of objects of a group: its own metadata, and metadata and pixels of each array."""

Pixels = npt.NDArray[np.uint8]


class PseudoPixels(NamedTuple):
    """Pixels of one pseudo-label (without the axis N) or of several."""

    pseudo_label: Pixels
    """(N, 512, 512, 3) uint8 RGB."""
    confidence: Pixels
    """(N, 512, 512) uint8, from 0 (nothing known) to 255 (certain)."""


def group_name(name: str) -> str:
    """Return the path of a group, relative to the workspace."""
    return f"{FOLDER}/{name}{_SUFFIX}"


def write_group(workspace: str, group: str, labels: Sequence[PseudoPixels]) -> None:
    """Write a new group as a whole, the pseudo-labels in the order of their rows; it must have no other writer."""
    url = f"{workspace}/{group}"
    zarr.open_group(LocationStore(open_location(url)), mode="a")
    for name, rest in _REST.items():
        array = create_array(f"{url}/{name}", (len(labels), *rest), (1, *rest), (len(labels), *rest))
        array[:] = np.stack([getattr(label, name) for label in labels])


def read_labels(workspace: str, group: str, rows: npt.NDArray[np.int64]) -> PseudoPixels:
    """Read pseudo-labels by row, in ascending order, and fetch nothing else."""
    return PseudoPixels(*(read_rows(f"{workspace}/{group}/{name}", rows) for name in _REST))


def list_groups(workspace: str) -> dict[str, bool]:
    """Return all groups by name, each with a flag that says whether it has all its objects."""
    counts = Counter(_group_of(key) for key in _keys(workspace))
    return {group: count >= _OBJECTS for group, count in counts.items()}


def remove_groups(workspace: str, groups: Collection[str]) -> int:
    """Remove groups that nobody writes or reads; return the number of removed objects."""
    location = open_location(f"{workspace}/{FOLDER}")
    keys = [key for key in _keys(workspace) if _group_of(key) in groups]
    for key in keys:
        location.delete(key)
    return len(keys)


def _group_of(key: str) -> str:
    return f"{FOLDER}/{key.partition('/')[0]}"


def _keys(workspace: str) -> list[str]:
    """List the objects of all groups, relative to `FOLDER`."""
    keys = [ref.key for ref in existing(open_location(f"{workspace}/{FOLDER}"))]
    return [key for key in keys if key.partition("/")[0].endswith(_SUFFIX)]

"""Chunks that frames of an array lack (`missing_chunks`): they read as zeros until somebody writes them.

Arrays omit chunks that are all zeros, so a frame without chunks may be black. It may also be unwritten yet, because
an array is created, or resized, before its frames are written.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infra.storage.location import open_location

if TYPE_CHECKING:
    import zarr

_CHUNK = re.compile(r"(?:c[/.])?(\d+)(?:[/.]\d+)+")
"""Key of a chunk of several dimensions, in all ways in which Zarr v2 and v3 write it."""


def missing_chunks(url: str, array: zarr.Array[Any]) -> npt.NDArray[np.int64]:
    """Count the chunks that each frame lacks, by one listing of the array.

    Parameters
    ----------
    url : str
        URL of the array.
    array : zarr.Array
        The array, (T, H, W, 3).

    Returns
    -------
    numpy.ndarray
        (T,) int64; zero for a frame that was written whole.
    """
    sides = array.shards or array.chunks  # a shard is one object
    counts = [math.ceil(length / side) for length, side in zip(array.shape, sides, strict=True)]
    there = np.zeros(counts[0], np.int64)
    for ref in open_location(url).list():
        found = _CHUNK.fullmatch(ref.key)
        if found and int(found[1]) < len(there):
            there[int(found[1])] += 1
    missing = np.maximum(math.prod(counts[1:]) - there, 0)
    return np.repeat(missing, sides[0])[: array.shape[0]]

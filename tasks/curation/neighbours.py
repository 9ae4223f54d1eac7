"""Neighbouring frames of the same camera (`neighbourhoods`), cut to the part that a crop shows."""

from __future__ import annotations

import bisect
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from infra.errors import STORAGE_ERRORS, ObjectNotFound
from infra.records import ImageRef
from tasks.codec import ImageRejected
from tasks.codec.exports import Export
from tasks.media.medium import Medium, MediumSpec, is_array
from tasks.media.opening import open_medium
from tasks.workers.reading import is_of_one_object

REMEMBERED = 12
"""Number of decoded frames that a worker caches: crops of one image share their neighbours."""


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """The box of a crop in its image, and the frames before and after it."""

    source: str
    frames: tuple[ImageRef, ...]
    image_size: tuple[int, int]
    """Height and width in pixels; frames of another size are from another camera."""
    top: int
    left: int
    height: int
    width: int


def neighbourhoods(crops: pl.DataFrame, frames: pl.DataFrame, count: int) -> dict[str, Neighbourhood]:
    """Return, for each crop, the frames whose keys are nearest in sorted order.

    Parameters
    ----------
    crops : polars.DataFrame
        Rows of the pool.
    frames : polars.DataFrame
        `source`, `source_group`, `key`, `etag`, `size_bytes` of every image of the pool, with near duplicates.
    count : int
        Largest number of frames per crop.

    Returns
    -------
    dict
        Neighbourhoods by crop id; a crop without another frame in its source group is missing.
    """
    found = {}
    cameras = _cameras(frames)
    for crop in crops.iter_rows(named=True):
        refs = cameras.get((crop["source"], crop["source_group"]), [])
        near = _nearest(refs, crop["key"], count)
        if near and count:
            size = (crop["image_height"], crop["image_width"])
            box = (crop["top"], crop["left"], crop["height"], crop["width"])
            found[crop["crop_id"]] = Neighbourhood(crop["source"], near, size, *box)
    return found


def neighbouring_parts(neighbourhood: Neighbourhood, max_pixels: int) -> Iterator[np.ndarray]:
    """Yield the part of each frame that the crop shows, (H, W, 3) uint8; skip unreadable frames."""
    rows = slice(neighbourhood.top, neighbourhood.top + neighbourhood.height)
    columns = slice(neighbourhood.left, neighbourhood.left + neighbourhood.width)
    for ref in neighbourhood.frames:
        frame = _frame(neighbourhood.source, ref, max_pixels)
        if frame is not None and frame.shape[:2] == neighbourhood.image_size:
            yield frame[rows, columns]


def _cameras(frames: pl.DataFrame) -> Mapping[tuple[str, str], list[ImageRef]]:
    cameras: dict[tuple[str, str], list[ImageRef]] = {}
    columns = ("source", "source_group", "key", "etag", "size_bytes")
    for source, group, key, etag, size in frames.select(columns).unique().sort("key", "etag").iter_rows():
        cameras.setdefault((source, group), []).append(ImageRef(key, etag, size))
    return cameras


def _nearest(refs: Sequence[ImageRef], key: str, count: int) -> tuple[ImageRef, ...]:
    """Return the frames whose keys are nearest to a key in order, nearest first."""
    place = bisect.bisect_left(refs, key, key=lambda ref: ref.key)
    around = range(max(0, place - count), min(len(refs), place + count + 1))
    order = sorted(around, key=lambda number: abs(number - place))
    return tuple(refs[number] for number in order if refs[number].key != key)[:count]


@functools.lru_cache(maxsize=REMEMBERED)
def _frame(source: str, ref: ImageRef, max_pixels: int) -> np.ndarray | None:
    """Read one frame; None if its source no longer has it, or if it cannot be decoded.

    A fault that may pass is raised, so that the crop stays pending: judgements are final.
    """
    try:
        medium = _medium(source, max_pixels)
        return medium.decode(medium.fetch(ref)).rgb
    except (ImageRejected, ObjectNotFound):
        return None
    except STORAGE_ERRORS as error:
        if is_of_one_object(error):
            return None
        raise


@functools.lru_cache(maxsize=2)
def _medium(source: str, max_pixels: int) -> Medium:
    return open_medium(MediumSpec(source, source, Export("png"), max_pixels, is_array(source)))

"""Unlabelled rainy photographs for a training (`unlabelled_photographs`), from the pool, a folder or a bucket."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from infra.catalog.pool import Pool
from infra.settings import Settings, absolute_url
from infra.storage.location import open_location
from models.images import RgbImage
from models.training.distill.teacher_targets import MOST_PHOTOGRAPHS, evenly, trimmed
from tasks.codec import ImageRejected, decode
from tasks.media.sources import Selection
from tasks.prefect_runs import run_log
from tasks.refusals import PreflightFailed

POOL = "pool"
"""The place name that stands for the training crops of the pool."""


def unlabelled_photographs(settings: Settings, place: str) -> list[RgbImage]:
    """Fetch at most `MOST_PHOTOGRAPHS` photographs, each cropped to a bounded size.

    Parameters
    ----------
    settings : Settings
        Workspace of the pool; images of more than `max_pixels` are skipped without decoding.
    place : str
        `pool`, or a folder or bucket prefix; objects without an image suffix and images that cannot be decoded are
        skipped.

    Raises
    ------
    FileNotFoundError
        If there is none; the message names the place.
    ObjectNotFound, AccessDenied, StorageError
        If the place cannot be read.
    """
    if place == POOL:
        return _of_pool(settings.workspace)
    return _at(absolute_url(place), settings.max_pixels)


def refuse_absent(settings: Settings, place: str) -> None:
    """Refuse a place that has no photographs by name; an empty place stands for none.

    Raises
    ------
    PreflightFailed, ObjectNotFound, AccessDenied, StorageError
        With a message of one line that names the place.
    """
    if place == POOL:
        if Pool(settings.workspace).crops("train").is_empty():
            raise PreflightFailed(_empty_pool(settings.workspace))
    elif place:
        url, is_image = absolute_url(place), Selection().predicate()
        if not any(is_image(ref.key) for ref in open_location(url).list()):
            raise PreflightFailed(f"{url}: no photographs there")


def without_padding(crops: Sequence[RgbImage], rows: pl.DataFrame) -> list[RgbImage]:
    """Cut crops of the pool to the part without padding."""
    sizes = zip(rows["height"], rows["width"], strict=True)
    return [crop[:height, :width] for crop, (height, width) in zip(crops, sizes, strict=True)]


def _of_pool(workspace: str) -> list[RgbImage]:
    pool = Pool(workspace)
    crops = pool.crops("train")
    if crops.is_empty():
        raise FileNotFoundError(_empty_pool(workspace))
    rows = crops[evenly(range(crops.height), MOST_PHOTOGRAPHS)]
    return without_padding(list(pool.pixels(rows)), rows)


def _empty_pool(workspace: str) -> str:
    return f"the pool of {workspace} has no crops to train on: python -m flows.ingest --source ... fills it"


def _at(url: str, max_pixels: int) -> list[RgbImage]:
    location = open_location(url)
    is_image = Selection().predicate()
    keys = sorted(ref.key for ref in location.list() if is_image(ref.key))
    photographs, rejected = [], []
    for key in evenly(keys, MOST_PHOTOGRAPHS):
        try:
            photographs.append(trimmed(decode(location.fetch(key), max_pixels).rgb))
        except ImageRejected as error:
            rejected.append(f"{key}: {error}")
    if not photographs:
        raise FileNotFoundError(
            f"{url}: no photographs there" + "".join(f"; {each}" for each in rejected[:1])
        )
    if rejected:
        run_log().warning("%s: %d photographs left out; %s", url, len(rejected), rejected[0])
    return photographs

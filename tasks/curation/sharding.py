"""Crops that are to be judged, in shards for workers."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from infra.catalog.pool import Pool
from infra.settings import Settings
from tasks.curation.judging import CropRef
from tasks.curation.neighbours import neighbourhoods
from tasks.waves.pending import Shard


def shards_of(settings: Settings, wanted: pl.DataFrame, crops: pl.DataFrame) -> Iterator[Shard]:
    """Cut crops in shards, neighbours side by side: they share the frames around them."""
    wanted = wanted.sort("source", "source_group", "key", "crop_id")
    frames = _frames(settings, crops)
    size = settings.curation.task_crops
    for number, part in enumerate(wanted.iter_slices(size)):
        near = neighbourhoods(part, frames, settings.curation.neighbours)
        refs = tuple(
            CropRef(
                key=row["crop_id"],
                etag=row["etag"],
                size_bytes=row["size_bytes"],
                zarr_group=row["zarr_group"],
                zarr_row=row["zarr_row"],
                height=row["height"],
                width=row["width"],
                neighbourhood=near.get(row["crop_id"]),
            )
            for row in part.iter_rows(named=True)
        )
        yield Shard(number, refs, False)


def _frames(settings: Settings, crops: pl.DataFrame) -> pl.DataFrame:
    """List the images that crops come from, and those left out as near duplicates: frames of a fixed camera."""
    columns = ["source", "source_group", "key", "etag", "size_bytes"]
    if not settings.curation.neighbours:
        return crops.select(columns).clear()
    duplicates = Pool(settings.workspace).near_duplicates(crops["image_id"].unique().to_list())
    return pl.concat([crops.select(columns), duplicates.select(columns)])

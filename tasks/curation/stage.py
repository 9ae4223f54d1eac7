"""Curation as a stage (`JudgeStage`): shards of crops from the pool, one judgement per crop."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import polars as pl

from infra.catalog.pool import Pool
from infra.settings import Settings
from tasks.curation.judged_shards import Judged
from tasks.curation.judging import CropRef, JudgingJob
from tasks.curation.neighbours import neighbourhoods
from tasks.waves.stage import Finished, Outcome, Shard
from tasks.workers.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class JudgeStage:
    """Judges crops; the coordinator decides on all of them together and writes the ledger.

    Workers write shards of judged crops, so an interrupted run loses none of them.
    """

    settings: Settings
    job: JudgingJob
    wanted: pl.DataFrame
    """Rows of the pool to be judged."""
    crops: pl.DataFrame
    """All training rows of the pool, among which frames of the same camera are found."""
    requested: Collection[str]
    """Ids of the crops that a reviewer accepted."""
    judged: dict[str, Judged] = field(default_factory=dict)
    wave_name: str = "curate-wave"
    in_order: bool = False

    def shards(self, workers: int) -> Iterator[Shard[CropRef]]:
        """Yield shards of crops; neighbouring crops stay together because they share frames."""
        wanted = self.wanted.sort("source", "source_group", "key", "crop_id")
        frames = _frames(self.settings, self.crops)
        limits = self.settings.curation
        size = max(1, min(limits.task_crops, wanted.height // (2 * workers)))
        for number, part in enumerate(wanted.iter_slices(size)):
            near = neighbourhoods(part, frames, limits.neighbours)
            refs = tuple(
                CropRef(
                    key=row["crop_id"],
                    zarr_group=row["zarr_group"],
                    zarr_row=row["zarr_row"],
                    height=row["height"],
                    width=row["width"],
                    neighbourhood=near.get(row["crop_id"]),
                    is_requested=row["crop_id"] in self.requested,
                )
                for row in part.iter_rows(named=True)
            )
            yield Shard(number, refs, False)

    def outcome(self, row: Judged) -> Outcome:
        """Return the reason for rejecting a crop, if any; pixels are not counted."""
        return Outcome(rejected_for=row.rejection.reason if row.rejection else None)

    def commit(self, finished: Sequence[Finished[CropRef, Judged]]) -> Sequence[Unfinished]:
        """Collect the judged crops."""
        self.judged.update({row.crop_id: row for part in finished for row in part.result.records})
        return ()


def _frames(settings: Settings, crops: pl.DataFrame) -> pl.DataFrame:
    """List the images of the crops and their near duplicates, which are often frames of a fixed camera."""
    columns = ["source", "source_group", "key", "etag", "size_bytes"]
    if not settings.curation.neighbours:
        return crops.select(columns).clear()
    duplicates = Pool(settings.workspace).near_duplicates(crops["image_id"].unique().to_list())
    return pl.concat([crops.select(columns), duplicates.select(columns)])

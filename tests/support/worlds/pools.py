"""Small pools of crops, written directly to a workspace, and curation without a cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import CROP_SIDE, SHARD_CROPS, group_name, make_room, write_shard
from infra.limits import CurationLimits
from infra.records import PoolRecord, PseudoLabelRecord
from infra.settings import Settings
from models.rain.streaks import FINE, MEDIUM
from tasks.media.samples import rain_on
from tasks.waves.executors import Answer, Executor, in_process
from tests.support.samples.photographs import PHOTOGRAPHS, photograph

SIDE = 96
RAIN = (FINE, FINE, MEDIUM)
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
ACCEPTED = PseudoLabelRecord(
    crop_id="x",
    source_group="a",
    teachers="one,two",
    judgement="j",
    rule="agree-1",
    decision="accepted",
    reason=None,
    reviewer_decision=None,
    score=0.5,
    rain_found=0.02,
    agreement=0.6,
    elongation=0.8,
    rain_recall=0.7,
    detail_kept=0.9,
    structure_leak=None,
    feature_distance=1.0,
    confident=0.1,
    frames=None,
    zarr_group="pseudo/r0.zarr",
    zarr_row=0,
    run_id="r0",
    decided_at=BEGAN,
)
"""An accepted row of the ledger of pseudo-labels, as a template."""


def rainy_crops(count: int = len(PHOTOGRAPHS), side: int = SIDE) -> list[np.ndarray]:
    """Return photographs under rain that the shipped networks know, (side, side, 3) uint8 RGB each."""
    return [rain_on(photograph(name, side), number, RAIN) for number, name in enumerate(PHOTOGRAPHS[:count])]


def write_pool(
    workspace: Path | str,
    crops: Sequence[np.ndarray],
    groups: Sequence[str] | None = None,
    run_id: str = "in",
) -> list[str]:
    """Write crops of at most 64 as one group of the pool; return their ids."""
    padded = np.zeros((SHARD_CROPS, CROP_SIDE, CROP_SIDE, 3), np.uint8)
    sizes = np.zeros((SHARD_CROPS, 2), np.uint16)
    rows = []
    for number, crop in enumerate(crops):
        height, width = crop.shape[:2]
        below, right = CROP_SIDE - height, CROP_SIDE - width
        padded[number] = np.pad(
            crop, ((0, below), (0, right), (0, 0)), mode="reflect" if below < height else "edge"
        )
        sizes[number] = height, width
        rows.append(_record(number, crop, groups[number] if groups else f"camera-{number}", run_id))
    make_room(str(workspace), group_name(run_id), 1)
    write_shard(str(workspace), group_name(run_id), 0, padded, sizes)
    Pool(str(workspace)).commit(rows, replace=True)
    return [row.crop_id for row in rows]


def _record(number: int, crop: np.ndarray, group: str, run_id: str) -> PoolRecord:
    image_id = sha256(f"{run_id}/{number}".encode()).hexdigest()[:32]
    return PoolRecord(
        crop_id=f"{image_id}-0",
        image_id=image_id,
        source=f"/nowhere/{run_id}",
        key=f"{number:03d}.png",
        etag="1",
        size_bytes=crop.nbytes,
        status="accepted",
        reason=None,
        duplicate_of=None,
        source_group=group,
        split="train",
        image_height=crop.shape[0],
        image_width=crop.shape[1],
        top=0,
        left=0,
        height=crop.shape[0],
        width=crop.shape[1],
        pixels_sha256=sha256(crop.tobytes()).hexdigest(),
        perceptual_hash="0" * 16,
        zarr_group=group_name(run_id),
        zarr_row=number,
        brightness=0.5,
        contrast=0.2,
        sharpness=0.1,
        streak_energy=0.1,
        run_id=run_id,
        ingested_at=BEGAN,
    )


def settings_of(workspace: Path | str, **limits: object) -> Settings:
    return Settings(workspace=str(workspace), device="cpu", curation=CurationLimits(**limits), _env_file=None)


class RecordingExecutor:
    """Judges in this process, and records the requests."""

    def __init__(self) -> None:
        self.judged: list[str] = []

    @contextmanager
    def __call__(self, settings: Settings) -> Iterator[Executor]:
        with in_process(settings) as executor:
            yield _Remembering(executor, self.judged)


@dataclass(frozen=True, slots=True)
class _Remembering:
    executor: Executor
    judged: list[str]
    workers: int = 1
    waves_ahead: int = 0

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        return self.executor.submit(function, *arguments)

    def submit_all(
        self, function: Callable[..., Any], items: Sequence[Any], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        self.judged.extend(crop.key for shard in items for crop in shard.items)
        return self.executor.submit_all(function, items, keys, priority)

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        return self.executor.results(answers, seconds)

"""Rows of the pool for tests of its readers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from infra.records import PoolRecord

START = datetime(2026, 1, 1, tzinfo=UTC)


def pool_row(crop_id: str, **changes: object) -> PoolRecord:
    """Return the row of a crop of a 512 x 512 photograph, stored in row 0 of the group of `run-0`."""
    row = PoolRecord(
        crop_id=crop_id,
        image_id=crop_id.rpartition("-")[0] or crop_id,
        source="/rain",
        key=f"{crop_id}.png",
        etag="e",
        size_bytes=1,
        status="accepted",
        reason=None,
        duplicate_of=None,
        source_group="/rain/",
        split="train",
        image_height=512,
        image_width=512,
        top=0,
        left=0,
        height=512,
        width=512,
        pixels_sha256="0" * 64,
        perceptual_hash="0" * 16,
        zarr_group="pool/run-0.zarr",
        zarr_row=0,
        brightness=0.5,
        contrast=0.2,
        sharpness=0.1,
        streak_energy=0.03,
        run_id="run-0",
        ingested_at=START,
    )
    return replace(row, **changes)

"""References and rows for tests of catalog and planning."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from infra.records import DerainRecord, ImageRef, Scope

SCOPE = Scope(source="s3://rainy/site's", destination="/tmp/derained", export="png")
START = datetime(2026, 1, 1, tzinfo=UTC)


def ref(key: str, etag: str = "e1", size_bytes: int = 1000) -> ImageRef:
    return ImageRef(key, etag, size_bytes)


def record(key: str, etag: str = "e1", minute: int = 0, **changes: object) -> DerainRecord:
    """Return a derained row of `SCOPE`, written `minute` minutes after the start."""
    derained = DerainRecord(
        source=SCOPE.source,
        key=key,
        etag=etag,
        destination=SCOPE.destination,
        export=SCOPE.export,
        size_bytes=1000,
        height=16,
        width=24,
        status="derained",
        reason=None,
        output_key=key + ".png",
        output_sha256="0" * 64,
        model_name="derain-student",
        model_version="1",
        model_digest="model-1",
        run_id="run-1",
        rain_energy=0.1,
        brightness=0.5,
        contrast=0.2,
        sharpness=0.3,
        derained_at=START + timedelta(minutes=minute),
    )
    return replace(derained, **changes)


def rejected(key: str, etag: str = "e1", minute: int = 0, **changes: object) -> DerainRecord:
    nothing = dict.fromkeys(
        (
            "height",
            "width",
            "output_key",
            "output_sha256",
            "rain_energy",
            "brightness",
            "contrast",
            "sharpness",
        )
    )
    return record(key, etag, minute, **{"status": "rejected", "reason": "zero bytes", **nothing, **changes})

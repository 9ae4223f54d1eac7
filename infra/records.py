"""The rows and references that pass between listing, workers and catalog."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One object of a source: what a listing tells of it.

    `key` is relative to the source URL, with forward slashes. `etag` changes when the object's bytes do.
    """

    key: str
    etag: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run works on: the part of an output's identity that all its images share."""

    source: str
    destination: str
    export: str


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Label-free statistics of one image and its derained version; grey levels in [0, 1]."""

    rain_energy: float
    """Mean absolute difference between rainy and derained."""
    brightness: float
    contrast: float
    sharpness: float


@dataclass(frozen=True, slots=True)
class DerainRecord:
    """One row of the `derained` table: an image that is done, or rejected with a reason.

    `status` is `derained` or `rejected`. Identity: source, key, etag, destination, export.
    """

    source: str
    key: str
    etag: str
    destination: str
    export: str
    size_bytes: int
    height: int | None
    width: int | None
    status: str
    reason: str | None
    output_key: str | None
    output_sha256: str | None
    model_name: str
    model_version: str
    model_digest: str
    run_id: str
    rain_energy: float | None
    brightness: float | None
    contrast: float | None
    sharpness: float | None
    derained_at: datetime

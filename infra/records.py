"""The rows and references that pass between listing, workers and catalog."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

DERAINED = "status = 'derained'"
"""Of `DerainRecord`, as a condition in SQL."""
ACCEPTED = "status = 'accepted'"
"""Of `PoolRecord`, as a condition in SQL."""
REJECTED = "status = 'rejected'"
"""Of either, as a condition in SQL."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One object of a source: what a listing tells of it.

    `key` is relative to the source URL, with forward slashes. `etag` changes when the object's bytes do.
    """

    key: str
    etag: str
    size_bytes: int
    archived: bool = field(default=False, kw_only=True)
    """Whether the listing says that it lies in an archive and has to be restored before it can be read."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was written; a later listing that differs shows that somebody replaced it."""

    size_bytes: int
    etag: str | None
    """The etag that S3 gave it. None in a folder, where an etag only says when a file was written."""


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

    `status` is `derained` or `rejected`. `reason` says why an image was rejected, or what its output lacks of its
    metadata (`dropped: gain map`). Identity: source, key, etag, destination, export.
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
    output_size: int | None = None
    """Bytes of the output as it was written; None in rows that an earlier version of this project wrote."""
    output_etag: str | None = None
    """See `StoredObject.etag`."""


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One row of the `pool` table: a crop of an image, or an image that was rejected with a reason.

    `status` is `accepted` or `rejected`. An accepted image has a row a crop, a rejected one a single row without
    a crop. Lengths are pixels of the upright image; statistics are grey levels in [0, 1], of the crop, or of the
    whole image where it was rejected.
    """

    crop_id: str
    """`<image_id>-<number>`: the crops of an image count from 0."""
    image_id: str
    """32 hex digits for source, key and etag."""
    source: str
    key: str
    etag: str
    size_bytes: int
    status: str
    reason: str | None
    duplicate_of: str | None
    """Of a duplicate the `image_id` of the image that is kept: the frames of a fixed camera are found by it."""
    source_group: str
    """Images of one camera and day: see `DERAIN_INGEST__GROUP_PATTERN`."""
    split: str | None
    """`train` or `validation`: the same for all crops of a source group."""
    image_height: int | None
    image_width: int | None
    top: int | None
    left: int | None
    height: int | None
    """Rows of the crop that are pixels of the image; below them it is filled up by reflection."""
    width: int | None
    pixels_sha256: str | None
    """Of the upright RGB pixels of the whole image."""
    perceptual_hash: str | None
    """16 hex digits: the DCT hash of the whole image."""
    zarr_group: str | None
    """The group's folder, relative to the workspace."""
    zarr_row: int | None
    brightness: float | None
    contrast: float | None
    sharpness: float | None
    streak_energy: float | None
    """Mean of what is brighter than its neighbours left and right: thin bright lines, rain among them."""
    run_id: str
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class PseudoLabelRecord:
    """One row of the `pseudo_labels` table: what one run decided on one crop of the pool, and why.

    `decision` is `accepted`, `rejected`, or `kept`: the one accepted earlier stays, this one is no better. Scores
    are those of `models.pseudo_labels.scores`, None where the rule did not need them.
    """

    crop_id: str
    source_group: str
    teachers: str
    """Digests of the judged network and of the independent ones, joined by commas, in this order."""
    judgement: str
    """Digest over teachers and all else that the scores depend on: the same is not judged again."""
    rule: str
    """Which rule decided: `agree-1`, `temporal-1`, `reviewer-1`."""
    decision: str
    reason: str | None
    reviewer_decision: str | None
    """`accept` or `reject`, where a reviewer decided."""
    score: float
    """What pseudo-labels of one rule are ranked by, in [0, 1]."""
    rain_found: float
    agreement: float | None
    elongation: float | None
    rain_recall: float | None
    detail_kept: float | None
    structure_leak: float | None
    feature_distance: float | None
    confident: float
    """Mean of the confidence map, in [0, 1]."""
    frames: int | None
    """Of a temporal background: how many frames it was made from."""
    zarr_group: str | None
    """The group's folder, relative to the workspace; None where there are no pixels."""
    zarr_row: int | None
    run_id: str
    decided_at: datetime

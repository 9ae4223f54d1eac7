"""Records that pass between listing, workers and catalog: references to images, and the rows of the tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

DERAINED = "status = 'derained'"
"""SQL condition on `DerainRecord`."""
ACCEPTED = "status = 'accepted'"
"""SQL condition on `PoolRecord`."""
REJECTED = "status = 'rejected'"
"""SQL condition on either."""
WEIGHTS_FILE = "file"
"""Version of a model that is a weights file rather than a registered version."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One object of a source, as described by a listing.

    `key` is relative to the source URL, with forward slashes. `etag` changes when the object's bytes do.
    """

    key: str
    etag: str
    size_bytes: int
    archived: bool = field(default=False, kw_only=True)
    """Whether, according to the listing, it is in an archive and must be restored before it can be read."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle faster than dataclasses do: workers are sent thousands of references per second."""
        return _image_ref, (self.key, self.etag, self.size_bytes, self.archived)


def _image_ref(key: str, etag: str, size_bytes: int, archived: bool) -> ImageRef:
    return ImageRef(key, etag, size_bytes, archived=archived)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object as it was written; a later listing that differs shows that it was replaced."""

    size_bytes: int
    etag: str | None
    """The etag returned by S3. None in a folder, where an etag only says when a file was written."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of a run: the part of an output's identity that is the same for all images."""

    source: str
    destination: str
    export: str


@dataclass(frozen=True, slots=True)
class ImageStatistics:
    """Label-free statistics of one image and its derained version, in grey levels in [0, 1]."""

    rain_energy: float
    """Mean absolute difference between the rainy and the derained image."""
    brightness: float
    contrast: float
    sharpness: float


def model_label(name: str, version: str, digest: str = "") -> str:
    """Return a model as users write and read it everywhere.

    `derain-student/3` for a registered version, which `--model` takes; for a weights file its name, and the start
    of its digest if that is given, because files of one name may differ.
    """
    if version != WEIGHTS_FILE:
        return f"{name}/{version}"
    return f"{name} ({digest[:8]})" if digest else name


@dataclass(frozen=True, slots=True)
class DerainRecord:
    """One row of the `derained` table: an image that was derained, or rejected with a reason.

    `status` is `derained` or `rejected`. `reason` says why an image was rejected, or which metadata its output
    lacks (`dropped: gain map`). Identity: source, key, etag, destination, export.
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
    """Size of the written output in bytes; None in rows written by an earlier version of this project."""
    output_etag: str | None = None
    """See `StoredObject.etag`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle faster than dataclasses do: the coordinator receives thousands of rows per second."""
        return DerainRecord, tuple(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class PoolRecord:
    """One row of the `pool` table: a crop of an image, or an image that was rejected with a reason.

    `status` is `accepted` or `rejected`. An accepted image has one row per crop, a rejected one a single row
    without a crop. Lengths are in pixels of the upright image. Statistics are in grey levels in [0, 1], of the crop
    or, if the image was rejected, of the whole image.
    """

    crop_id: str
    """`<image_id>-<number>`; the crops of an image are numbered from 0."""
    image_id: str
    """32 hex digits that identify source, key and etag."""
    source: str
    key: str
    etag: str
    size_bytes: int
    status: str
    reason: str | None
    duplicate_of: str | None
    """For a duplicate, the `image_id` of the image that was kept; frames of a fixed camera are found by it."""
    source_group: str
    """Group of images of one camera and day: see `DERAIN_INGEST__GROUP_PATTERN`."""
    split: str | None
    """`train` or `validation`, the same for all crops of a source group."""
    image_height: int | None
    image_width: int | None
    top: int | None
    left: int | None
    height: int | None
    """Number of rows of the crop that are pixels of the image; the rows below are filled by reflection."""
    width: int | None
    pixels_sha256: str | None
    """SHA-256 of the upright RGB pixels of the whole image."""
    perceptual_hash: str | None
    """DCT hash of the whole image, 16 hex digits."""
    zarr_group: str | None
    """Folder of the Zarr group, relative to the workspace."""
    zarr_row: int | None
    brightness: float | None
    contrast: float | None
    sharpness: float | None
    streak_energy: float | None
    """Mean excess brightness over the neighbours to the left and right: thin bright lines, such as rain."""
    run_id: str
    ingested_at: datetime


@dataclass(frozen=True, slots=True)
class PseudoLabelRecord:
    """One row of the `pseudo_labels` table: what one run decided on one crop of the pool, and why.

    `decision` is `accepted`, `rejected`, or `kept` if an earlier accepted one stays because this one is not better.
    Scores are those of `models.pseudo_labels.scores`, and None if the rule did not need them.
    """

    crop_id: str
    source_group: str
    teachers: str
    """Digests of the judged network and then of the independent ones, separated by commas."""
    judgement: str
    """Digest of the teachers and everything else that the scores depend on; no crop is judged twice under it."""
    rule: str
    """The rule that decided: `agree-1`, `temporal-1` or `reviewer-1`."""
    decision: str
    reason: str | None
    """Why it was not accepted, without figures: the same words for all crops that it applies to."""
    reviewer_decision: str | None
    """`accept` or `reject`, if a reviewer decided."""
    score: float
    """Score in [0, 1] by which pseudo-labels of one rule are ranked."""
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
    """Number of frames that a temporal background was made from."""
    zarr_group: str | None
    """Folder of the Zarr group, relative to the workspace; None if there are no pixels."""
    zarr_row: int | None
    run_id: str
    decided_at: datetime
    reason_details: str | None = None
    """Figures and limits behind the reason. Rows of earlier versions of this project have them in `reason`."""

"""Settings of one installation, from `DERAIN_*` environment variables or a `.env` file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from infra.errors import RetryPolicy, UrlRefused, UserError, one_line, printable

ENV_FILES = (Path(__file__).parents[1] / ".env", Path(".env"))
"""In the project's folder, and in the one that a command is run in, which wins."""


def absolute_url(value: str) -> str:
    """Make a local path absolute; leave URLs of other schemes as they are, without a trailing slash.

    Parameters
    ----------
    value : str
        A path (`./photos`, `~/photos`, `file:///photos`) or a URL (`s3://bucket/prefix`).

    Returns
    -------
    str
        An absolute local path without scheme, or the URL.

    Raises
    ------
    UrlRefused
        For the home of a user who is not there (`~nobody/photos`), links that lead in a circle, or a path that is
        no text: catalog and reports could not hold it.
    """
    if not _is_text(value):
        raise UrlRefused(f"{printable(value)}: a path must be valid UTF-8; rename it, or make a link to it")
    value = value.removeprefix("file://")
    if "://" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    try:
        return str(Path(value).expanduser().absolute().resolve())
    except RuntimeError as error:
        raise UrlRefused(f"{value} is no path: {one_line(error)}; give the whole path") from error


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # bytes of a file name that are no UTF-8
        return False
    return True


class SettingsInvalid(UserError, ValueError):
    """A `DERAIN_*` variable has a value that it cannot have."""


AnySettings = TypeVar("AnySettings", bound=BaseSettings)
Url = Annotated[str, BeforeValidator(lambda value: absolute_url(str(value)))]


class GateLimits(BaseModel):
    """What a challenger may lose, at most, as the upper bound of an interval; `DERAIN_GATES__PSNR_Y` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_images: int = Field(default=20, ge=2)
    """A validation set with fewer pairs decides nothing."""
    psnr_y: float = Field(default=0.1, ge=0)
    """dB on rainy photographs."""
    ssim_y: float = Field(default=0.002, ge=0)
    """On rainy photographs."""
    rain_recall: float = Field(default=0.03, ge=0)
    """Share of planted rain."""
    detail_kept: float = Field(default=0.02, ge=0)
    """Share of planted detail."""
    clean_change: float = Field(default=0.25, ge=0)
    """Grey levels of 255 by which clean photographs are altered more than the champion alters them."""
    latency_ratio: float = Field(default=1.1, gt=0)
    """Seconds of the challenger for each of the champion's."""


class CurationLimits(BaseModel):
    """Which pseudo-labels are accepted; `DERAIN_CURATION__QUOTA` and so on. Shares are in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scales: tuple[float, ...] = (1.0,)
    """Sizes that each crop is derained at, full size first; `[1, 0.75, 0.5]` was measured not to pay."""
    rain_found: float = Field(default=0.002, ge=0)
    """Least mean brightness of the rain that two independent networks, or the background, tell of."""
    agreement: float = Field(default=0.3, ge=0, le=1)
    """Least share of the found rain that judged and independent network both found."""
    informedness: float = Field(default=0.3, ge=-1, le=1)
    """Least rain recall + detail kept - 1 of planted probes on the crop."""
    detail_kept: float = Field(default=0.5, ge=0)
    """Least share of planted detail that is left."""
    structure_leak: float = Field(default=0.9, ge=0, le=1)
    """Most correlation of what was taken away with the structure of the background, where there is no rain."""
    feature_distance: float = Field(default=3.0, gt=0)
    """Most distance of the pseudo-label from labelled photographs, which themselves lie at about 1."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Least score, which pseudo-labels are ranked by."""
    confident: float = Field(default=0.002, ge=0, le=1)
    """Least mean of the confidence map: with less, nothing can be learned."""
    quota: int = Field(default=20, ge=1)
    """Most crops of one source group that rules accept, the best first; and as many that reviewers accept."""
    frames: int = Field(default=5, ge=3)
    """Least frames that a temporal background is made from."""
    static: float = Field(default=0.5, ge=0, le=1)
    """Least share of a temporal background that stands still."""
    neighbours: int = Field(default=8, ge=0)
    """Frames of the same camera that are looked at for it; 0: none is made."""
    task_crops: int = Field(default=8, ge=1)
    """Crops that a worker judges at a time."""

    @field_validator("scales")
    @classmethod
    def _full_size_first(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or value[0] != 1 or not all(0.1 <= scale <= 1 for scale in value):
            raise ValueError("sizes are shares from 0.1 to 1, and the first one is 1")
        return value


class IngestLimits(BaseModel):
    """What goes into the pool; `DERAIN_INGEST__MIN_SIDE` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = Field(default=128, ge=2)
    """Pixels of the shorter side of an image."""
    min_sharpness: float = Field(default=0.006, ge=0)
    """Mean absolute Laplacian of the luma, grey levels in [0, 1]: below it an image or a crop is blurred."""
    min_contrast: float = Field(default=0.02, ge=0)
    """Standard deviation of the luma: below it an image or a crop is flat."""
    min_correlation: float = Field(default=0.5, ge=-1, le=1)
    """Of neighbouring pixels: below it an image is noise."""
    near_duplicate_bits: int = Field(default=4, ge=0, le=32)
    """Images whose perceptual hashes differ in at most so many of 64 bits are near duplicates."""
    crops_per_image: int = Field(default=4, ge=1, le=64)
    """Most crops that are taken of one image."""
    group_pattern: str = r"^(.*?)\d*(?:\.\w+)?$"
    """Regular expression whose groups, found in a key, name its camera and day; else the key less its number."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the images that is kept for validation, whole source groups at a time."""
    grown_crops: int = Field(default=1000, ge=1)
    """So many new crops since the last training are worth another one: `derain.pool.grown` is emitted."""

    @field_validator("group_pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class DriftLimits(BaseModel):
    """When the newest photographs are taken to be of another kind; `DERAIN_DRIFT__ALPHA` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(default=200, ge=10)
    """Newest crops, or images, that are compared with four times as many earlier ones."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Odds of an alarm where nothing has changed, for all tests of one run together."""
    feature_crops: int = Field(default=64, ge=10)
    """Crops of each side that the student looks at."""


class WorkerSettings(BaseSettings):
    """What a worker process reads from its own environment: it may run on another machine than the coordinator."""

    model_config = SettingsConfigDict(
        env_prefix="DERAIN_", env_file=ENV_FILES, env_nested_delimiter="__", extra="ignore", frozen=True
    )

    retry_seconds: float = Field(default=45.0, ge=0)
    """No request that failed is begun again after this long."""
    image_bytes: int | None = Field(default=None, ge=1)
    """Memory that each worker may spend on one image; of larger ones a machine takes one at a time. Unset: the
    machine's memory (or the container's) by its cores, less what a worker needs anyway."""


class Settings(WorkerSettings):
    """Where things are and how much may be used; read at run time, never at import."""

    workspace: Url = Field(default="./var", validate_default=True)
    """Catalog, leases, reports and staged models live here: a folder or `s3://bucket/prefix`."""
    source: Url | None = None
    """Default source of derain-batch."""
    destination: Url | None = None
    """Default destination of derain-batch."""
    cluster: str | None = None
    """Address of a Dask scheduler (`tls://scheduler:8786`); unset: workers on this machine."""
    tls_ca: Url | None = None
    """PEM file of the authority that signed the certificates of a `tls://` cluster; unset: Dask's own setting."""
    tls_cert: Url | None = None
    """PEM file of this client's certificate there."""
    tls_key: Url | None = None
    """PEM file of its private key; unset: the key is in `tls_cert` too."""
    workers: int | None = Field(default=None, ge=1)
    """Worker processes on this machine; unset: one a core."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto`, `cpu`, `cuda` or `cuda:N`; whether it is there is looked at before any work."""
    tracking_uri: str | None = Field(default=None, repr=False)
    """MLflow server; unset: SQLite in the workspace, or in `./var` where the workspace is remote."""
    shard_pixels: int = Field(default=64_000_000, ge=1)
    """Most pixels of one shard; a worker hands back what it has not begun after four seconds."""
    shard_images: int = Field(default=128, ge=1)
    """Most images in one shard."""
    wave_shards: int = Field(default=4, ge=1)
    """Most shards per worker process in one catalog commit; no row waits for its commit more than eight seconds."""
    stall_seconds: float = Field(default=1800.0, gt=0)
    """Where no shard comes back for this long, workers are taken to hang: the run ends, its images stay pending."""
    tile_pixels: int = Field(default=4_000_000, ge=65_536)
    """Larger images are derained in tiles, or rejected where the model cannot be tiled."""
    max_pixels: int = Field(default=300_000_000, ge=1)
    """Larger images, frames and Zarr chunks are rejected unread: decompression bombs."""
    max_frames: int = Field(default=10_000_000, ge=1)
    """A Zarr array that claims more frames is refused: its metadata alone would make a list without end."""
    lease_seconds: float = Field(default=60.0, gt=0)
    """A lease that was not renewed for this long has expired."""
    min_free_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Local disks must have this much left beyond what the outputs are expected to take."""

    training: str | None = None
    """Default folder of labelled training data, on this machine (see `models/rain/banks.py`)."""
    validation: Url | None = None
    """Manifest (CSV) of the photographs that promotion is decided on; unset: a small one that is made here."""
    gates: GateLimits = GateLimits()
    """Limits of promotion."""
    curation: CurationLimits = CurationLimits()
    """Which pseudo-labels are accepted."""
    ingest: IngestLimits = IngestLimits()
    """What goes into the pool."""
    drift: DriftLimits = DriftLimits()
    """When the newest photographs are taken to be of another kind."""

    @field_validator(
        "source",
        "destination",
        "cluster",
        "tls_ca",
        "tls_cert",
        "tls_key",
        "tracking_uri",
        "training",
        "validation",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: str | None) -> str | None:
        return value or None


def read_settings() -> Settings:
    """Read the settings of this installation.

    Raises
    ------
    SettingsInvalid
        Names the variable and what is wrong with it, in one line.
    """
    return _read(Settings)


def read_retry_policy() -> RetryPolicy:
    """Read how long storage is asked again, in a process that may know nothing but its environment: a worker.

    Raises
    ------
    SettingsInvalid
        If `DERAIN_RETRY_SECONDS` is no number of seconds.
    """
    return RetryPolicy(read_worker_settings().retry_seconds)


def read_worker_settings() -> WorkerSettings:
    """Read what concerns a worker.

    Raises
    ------
    SettingsInvalid
        Names the variable and what is wrong with it, in one line.
    """
    return _read(WorkerSettings)


def _read(kind: type[AnySettings]) -> AnySettings:
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        variable = "DERAIN_" + "__".join(str(part) for part in first["loc"]).upper()
        raise SettingsInvalid(f"{variable}={first['input']}: {first['msg']}") from error
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        variable = f"DERAIN_{named[1] if named else 'GATES'}".upper()
        raise SettingsInvalid(
            f"{variable} is not JSON; or set one limit, as in DERAIN_GATES__PSNR_Y=0.1"
        ) from error

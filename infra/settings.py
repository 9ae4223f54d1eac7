"""Settings of one installation, read from `DERAIN_*` environment variables or a `.env` file by `read_settings`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from infra.errors import RetryPolicy, UrlRefused, UserError, one_line, printable
from infra.operation import ReportLinks, Retention

ENV_FILES = (Path(__file__).parents[1] / ".env", Path(".env"))
"""The `.env` files of the project's folder and of the current one; the latter takes precedence."""


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
        For the home of a user who does not exist (`~nobody/photos`), for links that form a circle, or for a path
        that is not valid text, which catalog and reports could not hold.
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
    except UnicodeEncodeError:  # bytes of a file name that are not UTF-8
        return False
    return True


class SettingsInvalid(UserError, ValueError):
    """A `DERAIN_*` variable has an invalid value."""


AnySettings = TypeVar("AnySettings", bound=BaseSettings)
Url = Annotated[str, BeforeValidator(lambda value: absolute_url(str(value)))]


class GateLimits(BaseModel):
    """Most that a challenger may lose, as the upper bound of an interval; `DERAIN_GATES__PSNR_Y` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_images: int = Field(default=20, ge=2)
    """Fewest pairs of a validation set that a decision may rest on."""
    psnr_y: float = Field(default=0.1, ge=0)
    """Loss of PSNR in dB on rainy photographs."""
    ssim_y: float = Field(default=0.002, ge=0)
    """Loss of SSIM on rainy photographs."""
    rain_recall: float = Field(default=0.03, ge=0)
    """Loss in the share of planted rain that is removed."""
    detail_kept: float = Field(default=0.02, ge=0)
    """Loss in the share of planted detail that is kept."""
    clean_change: float = Field(default=0.25, ge=0)
    """Grey levels (of 255) by which it alters clean photographs more than the champion does."""
    latency_ratio: float = Field(default=1.1, gt=0)
    """Ratio of the challenger's time per photograph to the champion's."""


class CurationLimits(BaseModel):
    """Which pseudo-labels are accepted; `DERAIN_CURATION__QUOTA` and so on. Shares are in [0, 1]."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rain_found: float = Field(default=0.002, ge=0)
    """Least mean brightness of the rain that two independent networks, or the background, agree on."""
    agreement: float = Field(default=0.3, ge=0, le=1)
    """Least share of the detected rain that both the judged and the independent network detected."""
    informedness: float = Field(default=0.3, ge=-1, le=1)
    """Least value of rain recall + detail kept - 1, measured with probes planted on the crop."""
    detail_kept: float = Field(default=0.5, ge=0)
    """Least share of planted detail that is kept."""
    structure_leak: float = Field(default=0.9, ge=0, le=1)
    """Largest correlation of the removed layer with the structure of the background, where there is no rain."""
    feature_distance: float = Field(default=3.0, gt=0)
    """Largest feature distance of a pseudo-label; labelled photographs themselves have about 1."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Least score; pseudo-labels are ranked by it."""
    confident: float = Field(default=0.002, ge=0, le=1)
    """Least mean of the confidence map; with less, there is nothing to learn."""
    quota: int = Field(default=20, ge=1)
    """Most crops per source group that rules accept, best first, and as many again that reviewers accept."""
    frames: int = Field(default=5, ge=3)
    """Fewest frames from which a temporal background is made."""
    static: float = Field(default=0.5, ge=0, le=1)
    """Least share of a temporal background that is static."""
    neighbours: int = Field(default=8, ge=0)
    """Frames of the same camera that are considered for a temporal background; 0 makes none."""
    task_crops: int = Field(default=8, ge=1)
    """Crops per task that a worker judges."""


class IngestLimits(BaseModel):
    """Limits on what enters the pool; `DERAIN_INGEST__MIN_SIDE` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = Field(default=128, ge=2)
    """Least length of the shorter side of an image in pixels."""
    min_sharpness: float = Field(default=0.006, ge=0)
    """Least mean absolute Laplacian of the luma in [0, 1]; below it, an image or crop counts as blurred."""
    min_contrast: float = Field(default=0.02, ge=0)
    """Least standard deviation of the luma in [0, 1]; below it, an image or crop counts as flat."""
    min_correlation: float = Field(default=0.5, ge=-1, le=1)
    """Least correlation of neighbouring pixels; below it, an image counts as noise."""
    near_duplicate_bits: int = Field(default=4, ge=0, le=32)
    """Most bits, of 64, in which the perceptual hashes of near duplicates differ."""
    crops_per_image: int = Field(default=4, ge=1, le=64)
    """Most crops per image."""
    group_pattern: str = r"^(.*?)\d*(?:\.\w+)?$"
    """Regular expression whose groups, matched in a key, name its camera and day. The default drops the number at
    the end of the key."""
    validation_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the images that is set aside for validation, in whole source groups."""
    grown_crops: int = Field(default=1000, ge=1)
    """Number of new crops since the last training from which `derain.pool.grown` is emitted."""

    @field_validator("group_pattern")
    @classmethod
    def _is_a_pattern(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class DriftLimits(BaseModel):
    """When the newest photographs count as different from earlier ones; `DERAIN_DRIFT__ALPHA` and so on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(default=200, ge=10)
    """Number of newest crops or images, which are compared with four times as many earlier ones."""
    alpha: float = Field(default=0.01, gt=0, lt=1)
    """Probability of a false alarm, for all tests of one run together."""
    feature_crops: int = Field(default=64, ge=10)
    """Crops per side from which the student extracts features."""


class WorkerSettings(BaseSettings):
    """Settings that a worker reads from its own environment; it may run on another machine than the coordinator."""

    model_config = SettingsConfigDict(
        env_prefix="DERAIN_", env_file=ENV_FILES, env_nested_delimiter="__", extra="ignore", frozen=True
    )

    retry_seconds: float = Field(default=45.0, ge=0)
    """Seconds after which a failed request is not retried."""
    image_bytes: int | None = Field(default=None, ge=1)
    """Bytes of memory that each worker may use for one image; a machine processes larger images one at a time.
    Unset: the memory of the machine or container per core, minus what a worker needs anyway."""


class Settings(WorkerSettings):
    """All settings of an installation: where things are, and limits; read at run time, never at import."""

    workspace: Url = Field(default="./var", validate_default=True)
    """Folder or `s3://bucket/prefix` that holds catalog, leases, reports and staged models."""
    source: Url | None = None
    """Default source of derain-batch."""
    destination: Url | None = None
    """Default destination of derain-batch."""
    cluster: str | None = None
    """Address of a Dask scheduler (`tls://scheduler:8786`); unset: workers on this machine."""
    tls_ca: Url | None = None
    """PEM file of the authority that signed the certificates of a `tls://` cluster; unset: Dask's own setting."""
    tls_cert: Url | None = None
    """PEM file of this client's certificate for a `tls://` cluster."""
    tls_key: Url | None = None
    """PEM file of its private key; unset: the key is in `tls_cert` too."""
    workers: int | None = Field(default=None, ge=1)
    """Worker processes on this machine; unset: one per core."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto`, `cpu`, `cuda` or `cuda:N`; its presence is checked before any work."""
    tracking_uri: str | None = Field(default=None, repr=False)
    """URL of an MLflow server; unset: SQLite in the workspace, or in `./var` if the workspace is remote."""
    shard_pixels: int = Field(default=64_000_000, ge=1)
    """Most pixels per shard; a worker hands back images that it has not started after four seconds."""
    shard_images: int = Field(default=128, ge=1)
    """Most images per shard."""
    wave_shards: int = Field(default=4, ge=1)
    """Most shards per worker process in one catalog commit; no row waits more than eight seconds for its commit."""
    stall_seconds: float = Field(default=1800.0, gt=0)
    """Seconds without a finished shard after which workers count as hung: the run ends, its images stay pending."""
    tile_pixels: int = Field(default=4_000_000, ge=65_536)
    """Pixels of an image above which it is derained in tiles, or rejected if the model does not support tiles."""
    max_pixels: int = Field(default=300_000_000, ge=1)
    """Most pixels of an image, frame or Zarr chunk; larger ones are rejected unread as decompression bombs."""
    max_frames: int = Field(default=10_000_000, ge=1)
    """Most frames of a Zarr array; arrays that claim more are refused, since listing them would never end."""
    lease_seconds: float = Field(default=60.0, gt=0)
    """Seconds after which a lease that was not renewed has expired."""
    min_free_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Bytes that must remain free on local disks beyond the expected size of the outputs."""

    training: str | None = None
    """Default folder of labelled training data, on this machine (see `models/rain/banks.py`)."""
    validation: Url | None = None
    """Manifest (CSV) of the photographs that decide on promotion; unset: a small generated one."""
    gates: GateLimits = GateLimits()
    """Limits on what a challenger may lose."""
    curation: CurationLimits = CurationLimits()
    """Which pseudo-labels are accepted."""
    ingest: IngestLimits = IngestLimits()
    """Limits on what enters the pool."""
    drift: DriftLimits = DriftLimits()
    """When the newest photographs count as different from earlier ones."""
    aws_credentials_block: str | None = None
    """Name of an AwsCredentials block of Prefect whose credentials flows use for S3; unset: the AWS environment or
    profile. A `derain` command without Prefect always uses those."""
    reports: ReportLinks = ReportLinks()
    """How browsers reach reports."""
    metrics: str | None = None
    """Where derain-batch exports metrics for Prometheus: a `.prom` file that node_exporter reads, or the address of
    a Pushgateway; unset: nowhere."""
    log_format: Literal["text", "json"] = "text"
    """`json`: flows write each log line as one JSON object, with the ids of flow run and task run."""
    retention: Retention = Retention()
    """What `maintain` removes, and when."""

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
        "aws_credentials_block",
        "metrics",
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
        If a variable is invalid; the message names it and the fault in one line.
    """
    return _read(Settings)


def read_retry_policy() -> RetryPolicy:
    """Read how long storage is retried, in a process that may have only its environment, such as a worker.

    Raises
    ------
    SettingsInvalid
        If `DERAIN_RETRY_SECONDS` is not a number of seconds.
    """
    return RetryPolicy(read_worker_settings().retry_seconds)


def read_worker_settings() -> WorkerSettings:
    """Read the settings of a worker.

    Raises
    ------
    SettingsInvalid
        If a variable is invalid; the message names it and the fault in one line.
    """
    return _read(WorkerSettings)


def _read(kind: type[AnySettings]) -> AnySettings:
    try:
        return kind()
    except ValidationError as error:
        first = error.errors()[0]
        variable = "DERAIN_" + "__".join(str(part) for part in first["loc"]).upper()
        if first["type"] == "extra_forbidden":
            raise SettingsInvalid(f"{variable}: there is no such limit; remove the variable") from error
        raise SettingsInvalid(f"{variable}={first['input']}: {first['msg']}") from error
    except SettingsError as error:
        named = re.search(r'field "(\w+)"', str(error))
        variable = f"DERAIN_{named[1] if named else 'GATES'}".upper()
        raise SettingsInvalid(
            f"{variable} is not JSON; or set one limit, as in DERAIN_GATES__PSNR_Y=0.1"
        ) from error

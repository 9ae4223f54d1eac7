"""Settings of one installation, read from `DERAIN_*` environment variables or a `.env` file by `read_settings`."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic.functional_validators import BeforeValidator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from infra.errors import RetryPolicy, UrlRefused, UserError, one_line, printable
from infra.limits import CurationLimits, DriftLimits, GateLimits, IngestLimits
from infra.operation import ReportLinks, Retention
from infra.settings_faults import PREFIX, invalid_line, not_json_line, unknown_variables, way_out
from infra.settings_group import EmptyIsUnset
from infra.shown import is_text

logger = logging.getLogger(__name__)

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
        For an empty text, for a URL that lacks a slash (`s3:/bucket`) and would be a local folder, for the home of
        a user who does not exist (`~nobody/photos`), for links that form a circle, or for a path that is not valid
        text, which catalog and reports could not hold.
    """
    if not is_text(value):
        raise UrlRefused(f"{printable(value)}: a path must be valid UTF-8; rename it, or make a link to it")
    value = value.removeprefix("file://")
    if "://" in value:
        scheme, _, rest = value.partition("://")
        return f"{scheme}://{rest.rstrip('/')}"
    if _ONE_SLASH.match(value):
        scheme, _, rest = value.partition(":")
        slashes = "///" if scheme == "file" else "//"
        url = f"{scheme}:{slashes}{rest.lstrip('/')}"
        raise UrlRefused(f"{value}: did you mean {url}? For a folder of this name, write ./{value}")
    if not value:
        raise UrlRefused("an empty path names no folder; use . for the current folder")
    try:
        return str(Path(value).expanduser().absolute().resolve())
    except (RuntimeError, OSError) as error:  # OSError: the current folder was removed, for example
        raise UrlRefused(f"{value}: {one_line(error).rstrip('.')}; give the whole path") from error


_ONE_SLASH = re.compile(r"s3:|[A-Za-z][A-Za-z0-9+.-]+:/(?!/)")
"""Beginning of a URL that lacks slashes; a single letter is a drive of Windows."""
_RESOURCE = r"[^\W\d]\w*=\d+(\.\d+)?"


class SettingsInvalid(UserError, ValueError):
    """A `DERAIN_*` variable has an invalid value."""


AnySettings = TypeVar("AnySettings", bound=BaseSettings)
Url = Annotated[str, BeforeValidator(lambda value: absolute_url(str(value)))]


class WorkerSettings(EmptyIsUnset, BaseSettings):
    """Settings that a worker reads from its own environment, since it may run on another machine."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILES, env_nested_delimiter="__", extra="ignore", frozen=True
    )

    retry_seconds: float = Field(default=45.0, ge=0)
    """Seconds after which a failed request is no longer retried."""
    image_bytes: int | None = Field(default=None, ge=1)
    """Bytes of memory that each worker may use for one image; a machine processes larger images one at a time.
    Unset: the memory of the machine or container per core, minus what a worker needs anyway."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave out empty variables of whole groups, such as `DERAIN_GATES=`, which would be decoded as JSON."""
        chosen = super().settings_customise_sources(settings_cls, *sources, **named)
        for source in chosen:
            if isinstance(source, EnvSettingsSource):
                source.env_vars = _without_empty_groups(cls, source.env_vars)
        return chosen


def _without_empty_groups(kind: type[BaseSettings], given: Mapping[str, str | None]) -> dict[str, str | None]:
    fields = kind.model_fields.items()
    groups = {f"{PREFIX}{name}".lower() for name, field in fields if isinstance(field.default, BaseModel)}
    return {name: value for name, value in given.items() if value != "" or name not in groups}


class MetricsSettings(BaseSettings):
    """The settings with which a run exports that it failed; readable even if others are invalid."""

    model_config = WorkerSettings.model_config

    metrics: str | None = None
    destination: str | None = None


class Settings(WorkerSettings):
    """All settings of an installation: locations and limits, read at run time and never at import."""

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
    """PEM file of the private key of this client's certificate; unset: `tls_cert` contains the key too."""
    workers: int | None = Field(default=None, ge=1)
    """Worker processes on this machine; unset: one per core, and none for a handful of images."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto`, `cpu`, `cuda` or `cuda:N`; its presence is checked before any work."""
    resources: str | None = Field(default=None, pattern=rf"^{_RESOURCE}([ ,]{_RESOURCE})*$")
    """Resources of a Dask worker that a shard takes while it runs, as in `dask worker --resources "GPU=1"`: only
    workers that offer them get shards, and only as many at a time as they suffice for. Unset: every worker gets one
    shard per thread."""
    tracking_uri: str | None = Field(default=None, repr=False)
    """URL of an MLflow server; unset: SQLite in the workspace, or in `./var` if the workspace is remote."""
    shard_pixels: int = Field(default=64_000_000, ge=1)
    """Maximum number of pixels per shard; a worker returns images that it has not started after four seconds."""
    shard_images: int = Field(default=128, ge=1)
    """Maximum number of images per shard."""
    wave_shards: int = Field(default=4, ge=1)
    """Maximum number of shards per worker thread in one commit; no row waits more than eight seconds for it."""
    stall_seconds: float = Field(default=1800.0, gt=0)
    """Seconds without a finished shard after which workers count as hung: the run ends, its images stay pending."""
    tile_pixels: int = Field(default=4_000_000, ge=65_536)
    """Number of pixels above which an image is derained in tiles, or rejected if the model cannot use tiles."""
    max_pixels: int = Field(default=300_000_000, ge=1)
    """Maximum number of pixels of an image, frame or Zarr chunk; larger ones are rejected without being decoded."""
    max_frames: int = Field(default=10_000_000, ge=1)
    """Maximum number of frames of a Zarr array; arrays that claim more are refused as too long to list."""
    lease_seconds: float = Field(default=60.0, gt=0)
    """Seconds after which a lease that was not renewed has expired."""
    min_free_bytes: int = Field(default=256 * 1024 * 1024, ge=0)
    """Bytes that must remain free on local disks beyond the expected size of the outputs."""

    training: str | None = None
    """Default folder of labelled training data, on this machine (see `models/rain/banks.py`)."""
    validation: Url | None = None
    """Manifest (CSV) of the photographs that decide on promotion; unset: the default set of 432 pairs,
    made in the workspace."""
    gates: GateLimits = GateLimits()
    """Limits on what a challenger may lose."""
    curation: CurationLimits = CurationLimits()
    """Which pseudo-labels are accepted."""
    ingest: IngestLimits = IngestLimits()
    """Limits on what enters the pool."""
    drift: DriftLimits = DriftLimits()
    """When the newest photographs count as different from earlier ones."""
    aws_credentials_block: str | None = None
    """Name of an AwsCredentials block of Prefect whose credentials all commands use for S3; unset: the AWS
    environment or profile."""
    reports: ReportLinks = ReportLinks()
    """How browsers reach reports."""
    metrics: str | None = None
    """Where derain-batch exports metrics for Prometheus: a `.prom` file that node_exporter reads, or the address of
    a Pushgateway; unset: nowhere."""
    log_format: Literal["text", "json"] = "text"
    """`json`: flows write each log line as one JSON object, with the ids of flow run and task run."""
    retention: Retention = Retention()
    """Ages at which `maintain` removes files."""

    @property
    def shard_resources(self) -> dict[str, float]:
        """Amounts of a worker's resources that a shard takes, by name of the resource."""
        pairs = (pair.split("=") for pair in (self.resources or "").replace(",", " ").split())
        return {name: float(amount) for name, amount in pairs if float(amount)}


def read_settings() -> Settings:
    """Read the settings of this installation; workers, whose environment may be another, read theirs.

    Raises
    ------
    SettingsInvalid
        If a variable is invalid or probably misspelt; the message names it and the fault in one line.
    """
    _refuse_misspelt()
    return _read(Settings)


def read_retry_policy() -> RetryPolicy:
    """Read the retry policy of storage, in a process that may have only its environment, such as a worker.

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


def read_metrics_settings() -> MetricsSettings:
    """Read where the metrics of a failed run go, and its default destination; an empty text is unset."""
    return _read(MetricsSettings)


def _read(kind: type[AnySettings]) -> AnySettings:
    try:
        return kind()
    except ValidationError as error:
        raise SettingsInvalid(invalid_line(kind, error)) from error
    except SettingsError as error:
        raise SettingsInvalid(not_json_line(kind, error)) from error


def _refuse_misspelt() -> None:
    """Refuse variables that resemble a setting, and warn once of others: they may belong to another program."""
    for variable in unknown_variables(Settings):
        meant = way_out(Settings, variable)
        if meant is not None:
            raise SettingsInvalid(f"{variable}: there is no such setting; {meant}")
        _warn_of_unknown(variable)


@cache
def _warn_of_unknown(variable: str) -> None:
    logger.warning("%s: there is no such setting; it is ignored", variable)

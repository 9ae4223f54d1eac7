"""The model registry: MLflow, on SQLite beside the workspace or on a server.

A version is two artifacts, `model.safetensors` and `config.json`; aliases say which version serves.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from infra.settings import Settings
from infra.storage import is_local

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDENT = "derain-student"
CHAMPION = "champion"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
FOUNDING_SECONDS = 15
"""How long a first run waits for another first run that is registering the shipped weights."""

_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


class ModelNotFound(Exception):
    """A model name, version or alias that the registry does not have."""


class RegistryUnreachable(Exception):
    """The tracking server does not answer."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version from the registry, resolved once: what its files hold will not change."""

    name: str
    version: str
    weights: bytes
    config: bytes


class Registry:
    """Registered models of one tracking server.

    Parameters
    ----------
    settings : Settings
        `tracking_uri`, or SQLite in a local workspace, or SQLite in `./var` beside a remote one.
    """

    def __init__(self, settings: Settings) -> None:
        self._home = Path(settings.workspace if is_local(settings.workspace) else "var").absolute()
        self._remote = settings.tracking_uri
        self.uri = settings.tracking_uri or f"sqlite:///{self._home / 'mlflow.db'}"
        # MLflow reads these when it is imported, which therefore comes later.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # it tells of each table that it creates
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")

    def resolve(self, url: str) -> RegisteredModel:
        """Fetch the version that `models:/name@alias` or `models:/name/version` means now.

        Raises
        ------
        ModelNotFound
            If there is no such model, version or alias; names what there is.
        RegistryUnreachable
            If the tracking server does not answer.
        """
        name, alias, number = _parse(url)
        with self._alone(), self._faults_named(url):
            client = self._client()
            if alias is not None:
                version = client.get_model_version_by_alias(name, alias)
            else:
                version = client.get_model_version(name, number)
            weights, config = (self._artifact(version.source, part) for part in (WEIGHTS_FILE, CONFIG_FILE))
        return RegisteredModel(name, str(version.version), weights, config)

    def register_shipped(self, weights: bytes, config: bytes) -> None:
        """Make the weights that come with the package version 1 and champion, if nothing is registered yet.

        Of several first runs one does it, and a later one finishes what a killed one began.

        Raises
        ------
        RegistryUnreachable
            If the tracking server does not answer.
        """
        with self._alone(), self._faults_named(STUDENT):
            client = self._client()
            if self._is_founded(client):
                return
            versions = client.search_model_versions(f"name = '{STUDENT}'")
            if not versions:
                number = self.add_version(STUDENT, weights, config)
            elif len(versions) == 1 and self._artifact(versions[0].source, WEIGHTS_FILE) == weights:
                number = str(versions[0].version)
            else:  # somebody took the champion away: not for us to choose another
                return
            client.set_registered_model_alias(STUDENT, CHAMPION, number)

    def _is_founded(self, client: MlflowClient) -> bool:
        """Tell whether there is a champion; create the model, or else wait for the one who did."""
        if self._has_champion(client):
            return True
        if _create_model(client, STUDENT) or self._remote is None:
            return False
        for _ in range(FOUNDING_SECONDS):
            time.sleep(1)
            if self._has_champion(client):
                return True
        return False

    def _has_champion(self, client: MlflowClient) -> bool:
        found = client.search_registered_models(filter_string=f"name = '{STUDENT}'")
        return any(CHAMPION in model.aliases for model in found)

    def add_version(self, name: str, weights: bytes, config: bytes) -> str:
        """Log two files as a run's artifacts and make them the next version of a model; return its number."""
        client = self._client()
        run = client.create_run(self._experiment(client, name), run_name=name)
        with tempfile.TemporaryDirectory() as folder:
            for part, data in ((WEIGHTS_FILE, weights), (CONFIG_FILE, config)):
                Path(folder, part).write_bytes(data)
            client.log_artifacts(run.info.run_id, folder, "model")
        client.set_terminated(run.info.run_id)
        _create_model(client, name)
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(name, source, run.info.run_id).version)

    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient  # two seconds: only where a registry is used
        from mlflow.exceptions import MlflowException

        try:
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
        except (MlflowException, ImportError) as error:
            raise RegistryUnreachable(
                f"{self.uri}: cannot be a tracking server ({_first_line(error)})"
            ) from error

    def _experiment(self, client: MlflowClient, name: str) -> str:
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        location = None if self._remote else (self._home / "artifacts" / name).as_uri()
        return str(client.create_experiment(name, artifact_location=location))

    def _artifact(self, folder: str, part: str) -> bytes:
        if folder.startswith(("/", "file:")):
            return Path(url2pathname(urlsplit(folder).path), part).read_bytes()
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(f"{folder}/{part}", tracking_uri=self.uri)).read_bytes()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes off the SQLite file: two that create its tables at once break it."""
        if self._remote is not None:
            yield
            return
        self._home.mkdir(parents=True, exist_ok=True)
        with open(self._home / "mlflow.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _faults_named(self, url: str) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except FileNotFoundError as error:
            raise ModelNotFound(
                f"{url}: registered at {self.uri}, but its files are gone ({error})"
            ) from error
        except (MlflowException, SQLAlchemyError, OSError) as error:
            if getattr(error, "error_code", "") in _NOT_THERE:
                raise ModelNotFound(
                    f"{url}: the registry at {self.uri} has no such model, version or alias"
                ) from error
            raise RegistryUnreachable(
                f"{self.uri}: the tracking server does not answer ({_first_line(error)})"
            ) from error


def _create_model(client: MlflowClient, name: str) -> bool:
    """Create a model without versions; tell whether it was us."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def _parse(url: str) -> tuple[str, str | None, str]:
    """Split `models:/name@alias` or `models:/name/version` into name, alias, version."""
    path = url.removeprefix("models:/").strip("/")
    if "@" in path:
        name, alias = path.rsplit("@", 1)
        if name and alias:
            return name, alias, ""
    elif "/" in path:
        name, version = path.rsplit("/", 1)
        if name and version.isdigit():
            return name, None, version
    raise ModelNotFound(f"{url}: a registered model is models:/name@alias or models:/name/version")


def _first_line(error: BaseException) -> str:
    """Tell the first cause: what comes after it only repeats it at length."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

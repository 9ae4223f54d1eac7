"""The model registry: MLflow, on SQLite beside the workspace or on a server.

A version is two artifacts, `model.safetensors` and `config.json`; aliases say which version serves.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings import Settings
from infra.storage import is_local

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDENT = "derain-student"
CHAMPION = "champion"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


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

    def resolve(self, url: str) -> RegisteredModel:
        """Fetch the version that `models:/name@alias` or `models:/name/version` means now.

        Raises
        ------
        ModelNotFound
            If there is no such model, version or alias; names what there is.
        RegistryUnreachable
            If the tracking server does not answer.
        """
        from mlflow.exceptions import MlflowException

        name, alias, number = _parse(url)
        client = self._client()
        try:
            if alias is not None:
                version = client.get_model_version_by_alias(name, alias)
            else:
                version = client.get_model_version(name, number)
            folder = version.source.removeprefix("file://")
            weights, config = (self._artifact(folder, part) for part in (WEIGHTS_FILE, CONFIG_FILE))
        except MlflowException as error:
            raise self._not_found(url, error) from error
        return RegisteredModel(name, str(version.version), weights, config)

    def register_shipped(self, weights: bytes, config: bytes) -> None:
        """Make the weights that come with the package version 1 and champion, if nothing is registered yet.

        Raises
        ------
        RegistryUnreachable
            If the tracking server does not answer.
        """
        from mlflow.exceptions import MlflowException

        client = self._client()
        try:
            if client.search_registered_models(filter_string=f"name = '{STUDENT}'"):
                return
            version = self.add_version(STUDENT, weights, config)
            client.set_registered_model_alias(STUDENT, CHAMPION, version)
        except MlflowException as error:
            raise self._not_found(STUDENT, error) from error

    def add_version(self, name: str, weights: bytes, config: bytes) -> str:
        """Log two files as a run's artifacts and make them the next version of a model; return its number."""
        from mlflow.exceptions import MlflowException

        client = self._client()
        run = client.create_run(self._experiment(client, name), run_name=name)
        with tempfile.TemporaryDirectory() as folder:
            for part, data in ((WEIGHTS_FILE, weights), (CONFIG_FILE, config)):
                Path(folder, part).write_bytes(data)
            client.log_artifacts(run.info.run_id, folder, "model")
        client.set_terminated(run.info.run_id)
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(name, source, run.info.run_id).version)

    def _client(self) -> MlflowClient:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        if self._remote is None:
            self._home.mkdir(parents=True, exist_ok=True)
        from mlflow import MlflowClient  # two seconds: only where a registry is used

        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def _experiment(self, client: MlflowClient, name: str) -> str:
        known = client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        location = None if self._remote else (self._home / "artifacts" / name).as_uri()
        return str(client.create_experiment(name, artifact_location=location))

    def _artifact(self, folder: str, part: str) -> bytes:
        if folder.startswith("/"):
            return Path(folder, part).read_bytes()
        from mlflow.artifacts import download_artifacts

        return Path(download_artifacts(f"{folder}/{part}", tracking_uri=self.uri)).read_bytes()

    def _not_found(self, url: str, error: Exception) -> Exception:
        code = getattr(error, "error_code", "")
        if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"):
            return ModelNotFound(f"{url}: the registry at {self.uri} has no such model, version or alias")
        return RegistryUnreachable(f"{self.uri}: the tracking server does not answer ({_first_line(error)})")


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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]

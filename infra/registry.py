"""The model registry: MLflow, on SQLite beside the workspace or on a server.

A version is two artifacts, `model.safetensors` and `config.json`; aliases say which version serves. A tag of the
model says up to which row of the ledger of promotions its aliases were moved.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from infra.settings import Settings
from infra.tracking_server import ModelNotFound, TrackingServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

STUDENT = "derain-student"
CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
SETTLED = "derain.settled"
"""Tag of a model: the number of the last row of the ledger that its aliases agree with."""
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
FOUNDING_SECONDS = 15
"""How long a first run waits for another first run that is registering the shipped weights."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version from the registry, resolved once: what its files hold will not change."""

    name: str
    version: str
    weights: bytes
    config: bytes


@dataclass(frozen=True, slots=True)
class Standing:
    """Which versions a model's aliases mean now; None where there is no such alias."""

    champion: str | None
    challenger: str | None
    previous: str | None
    settled: int
    """Number of the last row of the ledger that they agree with; 0 before the first."""


class Registry:
    """Registered models of one tracking server.

    Parameters
    ----------
    settings : Settings
        Say which server.
    """

    def __init__(self, settings: Settings) -> None:
        self._server = TrackingServer(settings)

    @property
    def uri(self) -> str:
        """Address of the tracking server."""
        return self._server.uri

    def resolve(self, url: str) -> RegisteredModel:
        """Fetch the version that `models:/name@alias` or `models:/name/version` means now.

        Raises
        ------
        ModelNotFound
            If there is no such model, version or alias; names what there is.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        name, alias, number = _parse(url)
        with self._server.alone(), self._server.faults_named(url):
            client = self._server.client()
            if alias is not None:
                version = client.get_model_version_by_alias(name, alias)
            else:
                version = client.get_model_version(name, number)
            weights, config = (
                self._server.artifact(version.source, part) for part in (WEIGHTS_FILE, CONFIG_FILE)
            )
        return RegisteredModel(name, str(version.version), weights, config)

    def standing(self, name: str) -> Standing:
        """Tell which versions the aliases of a model mean now.

        Raises
        ------
        ModelNotFound
            If there is no such model.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.alone(), self._server.faults_named(f"models:/{name}"):
            model = self._server.client().get_registered_model(name)
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        champion, challenger, previous = (aliases.get(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS))
        return Standing(champion, challenger, previous, int(model.tags.get(SETTLED, 0)))

    def registered_at(self, name: str, version: str) -> datetime:
        """Tell when a version was registered."""
        with self._server.alone(), self._server.faults_named(f"models:/{name}/{version}"):
            found = self._server.client().get_model_version(name, version)
        return datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)

    def move_alias(self, name: str, alias: str, version: str) -> None:
        """Let an alias mean this version from now on.

        Raises
        ------
        ModelNotFound
            If there is no such version; the alias stays where it is.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.alone(), self._server.faults_named(f"models:/{name}/{version}"):
            client = self._server.client()
            client.get_model_version(name, version)
            client.set_registered_model_alias(name, alias, version)

    def settle(self, name: str, number: int) -> None:
        """Remember that the aliases agree with the ledger up to this row."""
        with self._server.alone(), self._server.faults_named(f"models:/{name}"):
            self._server.client().set_registered_model_tag(name, SETTLED, str(number))

    def register_challenger(self, name: str, weights: bytes, config: bytes) -> str:
        """Make two files the next version of a model and its challenger; return its number.

        The same files as the challenger's are not registered again.
        """
        with self._server.alone(), self._server.faults_named(f"models:/{name}"):
            client = self._server.client()
            _create_model(client, name)
            known = client.get_registered_model(name).aliases.get(CHALLENGER)
            if known is not None and self._holds(client, name, str(known), weights, config):
                return str(known)
            number = self.add_version(name, weights, config)
            client.set_registered_model_alias(name, CHALLENGER, number)
        return number

    def _holds(self, client: MlflowClient, name: str, number: str, weights: bytes, config: bytes) -> bool:
        source = client.get_model_version(name, number).source
        parts = ((WEIGHTS_FILE, weights), (CONFIG_FILE, config))
        try:
            return all(self._server.artifact(source, part) == data for part, data in parts)
        except FileNotFoundError:
            return False

    def register_shipped(self, weights: bytes, config: bytes) -> None:
        """Make the weights that come with the package version 1 and champion, if nothing is registered yet.

        Of several first runs one does it, and a later one finishes what a killed one began.

        Raises
        ------
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.alone(), self._server.faults_named(STUDENT):
            client = self._server.client()
            if self._is_founded(client):
                return
            versions = client.search_model_versions(f"name = '{STUDENT}'")
            if not versions:
                number = self.add_version(STUDENT, weights, config)
            elif len(versions) == 1 and self._server.artifact(versions[0].source, WEIGHTS_FILE) == weights:
                number = str(versions[0].version)
            else:  # somebody took the champion away: not for us to choose another
                return
            client.set_registered_model_alias(STUDENT, CHAMPION, number)

    def _is_founded(self, client: MlflowClient) -> bool:
        """Tell whether there is a champion; create the model, or else wait for the one who did."""
        if self._has_champion(client):
            return True
        if _create_model(client, STUDENT) or not self._server.is_remote:
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
        client = self._server.client()
        run = client.create_run(self._server.experiment(client, name), run_name=name)
        with tempfile.TemporaryDirectory() as folder:
            for part, data in ((WEIGHTS_FILE, weights), (CONFIG_FILE, config)):
                Path(folder, part).write_bytes(data)
            client.log_artifacts(run.info.run_id, folder, "model")
        client.set_terminated(run.info.run_id)
        _create_model(client, name)
        source = f"{run.info.artifact_uri}/model"
        return str(client.create_model_version(name, source, run.info.run_id).version)


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

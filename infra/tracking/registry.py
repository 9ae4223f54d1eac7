"""`Registry`, the model registry: MLflow, on SQLite in the workspace or on a server.

A version consists of `model.safetensors`, `config.json`, and the files with which MLflow loads and serves it (see
`infra.tracking.model_artifact`). Aliases say which version is in use. A tag of the model holds the number of the
last row of the promotion ledger that was applied to its aliases, and names that ledger.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.settings import Settings
from infra.tracking.model_artifact import WEIGHTS_FILE
from infra.tracking.server import TrackingServer
from infra.tracking.version_card import NO_CARD, VersionCard
from infra.tracking.versions import (
    ModelFiles,
    add_version,
    create_model,
    find_version,
    has_files,
    read_files,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

STUDENT = "derain-student"
CHAMPION = "champion"
CHALLENGER = "challenger"
PREVIOUS = "previous"
CHAMPION_URL = f"models:/{STUDENT}@{CHAMPION}"
SETTLED = "derain.settled"
"""Tag of a model, `ledger:number`: the last ledger row that its aliases agree with. Earlier versions wrote only the
number."""
CANDIDATE = "derain.candidate"
"""Tag of a version registered as a challenger; a model with only these may still get the shipped weights."""
FOUNDING_SECONDS = 15
"""Seconds that a first run waits for another first run to register the shipped weights."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version from the registry, resolved once; the contents of its files never change."""

    name: str
    version: str
    weights: bytes
    config: bytes


@dataclass(frozen=True, slots=True)
class Aliases:
    """The versions that a model's aliases refer to now; None for a missing alias."""

    champion: str | None
    challenger: str | None
    previous: str | None
    settled: int
    """Number of the last ledger row that the aliases agree with; 0 before the first."""
    ledger: str = ""
    """Identity of that ledger; empty if it was not recorded."""


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version, as shown in a list of models."""

    name: str
    version: str
    aliases: tuple[str, ...]
    registered_at: datetime


class Registry:
    """The registered models of one tracking server.

    Parameters
    ----------
    settings : Settings
        Settings that name the server.
    """

    def __init__(self, settings: Settings) -> None:
        self._server = TrackingServer(settings)

    def resolve(self, url: str) -> RegisteredModel:
        """Fetch the version that `models:/name@alias` or `models:/name/version` refers to now.

        Raises
        ------
        ModelNotFound
            If there is no such model, version or alias; the message names those that exist.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(url):
            version = find_version(self._server.client(), url)
            files = read_files(self._server, version.source)
        return RegisteredModel(version.name, str(version.version), files.weights, files.config)

    def aliases(self, name: str) -> Aliases:
        """Return the versions that the aliases of a model refer to.

        Raises
        ------
        ModelNotFound
            If there is no such model.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(f"models:/{name}"):
            model = self._server.client().get_registered_model(name)
        aliases = {alias: str(version) for alias, version in model.aliases.items()}
        champion, challenger, previous = (aliases.get(alias) for alias in (CHAMPION, CHALLENGER, PREVIOUS))
        ledger, _, number = model.tags.get(SETTLED, "0").rpartition(":")
        return Aliases(champion, challenger, previous, int(number), ledger)

    def versions(self) -> list[RegisteredVersion]:
        """List all versions of all models, by name and then newest first.

        Raises
        ------
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session("models"):
            client = self._server.client()
            aliases = {model.name: model.aliases for model in client.search_registered_models()}
            found = [each for name in aliases for each in client.search_model_versions(f"name = '{name}'")]
        listed = [
            RegisteredVersion(
                each.name,
                str(each.version),
                tuple(
                    sorted(a for a, number in aliases[each.name].items() if str(number) == str(each.version))
                ),
                datetime.fromtimestamp(each.creation_timestamp / 1000, UTC),
            )
            for each in found
        ]
        return sorted(listed, key=lambda each: (each.name, -int(each.version)))

    def registered_at(self, name: str, version: str) -> datetime:
        """Return when a version was registered."""
        with self._server.session(f"models:/{name}/{version}"):
            found = self._server.client().get_model_version(name, version)
        return datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)

    def move_alias(self, name: str, alias: str, version: str) -> None:
        """Make an alias refer to this version.

        Raises
        ------
        ModelNotFound
            If there is no such version; the alias is not moved.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(f"models:/{name}/{version}"):
            client = self._server.client()
            client.get_model_version(name, version)
            client.set_registered_model_alias(name, alias, version)

    def describe_version(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        with self._server.session(f"models:/{name}/{version}"):
            client = self._server.client()
            for key, value in tags.items():
                client.set_model_version_tag(name, version, key, value)

    def settle(self, name: str, ledger: str, number: int) -> None:
        """Record that the aliases agree with a ledger, given by its identity, up to this row."""
        with self._server.session(f"models:/{name}"):
            self._server.client().set_registered_model_tag(name, SETTLED, f"{ledger}:{number}")

    def register_challenger(
        self,
        name: str,
        weights: bytes,
        config: bytes,
        training_run: str | None = None,
        card: VersionCard = NO_CARD,
    ) -> str:
        """Register two files as the next version of a model and its challenger; return the version number.

        Files identical to the current challenger's are not registered again.

        Parameters
        ----------
        name : str
            Name of the registered model, which is created if it does not exist.
        weights, config : bytes
            Contents of the two files.
        training_run : str, optional
            Id of the tracked run that trained them: the version then belongs to that run, which keeps its files.
        card : VersionCard, optional
            Description, tags, figures and picture of the version.

        Raises
        ------
        ModelNotFound
            If the server has no such run.
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(f"models:/{name}"):
            client, files = self._server.client(), ModelFiles(weights, config)
            create_model(client, name)
            known = client.get_registered_model(name).aliases.get(CHALLENGER)
            if known is not None:
                source = client.get_model_version(name, str(known)).source
                if has_files(self._server, source, files):
                    return str(known)
            version = add_version(self._server, name, files, training_run, card.tagged({CANDIDATE: "true"}))
            client.set_registered_model_alias(name, CHALLENGER, version)
        return version

    def is_empty(self, name: str) -> bool:
        """Return whether no version of a model is registered.

        Raises
        ------
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(name):
            return not self._server.client().search_model_versions(f"name = '{name}'", max_results=1)

    @property
    def uri(self) -> str:
        """URI of the registry."""
        return self._server.uri

    def register_shipped(
        self,
        weights: bytes,
        config: bytes,
        name: str = STUDENT,
        card: Callable[[], VersionCard] = lambda: NO_CARD,
    ) -> None:
        """Register the weights that ship with the package as version 1 and champion, if nothing is registered yet.

        If several first runs start at once, one of them registers; a later run completes what a killed one began.
        Only the run that registers makes the card.

        Raises
        ------
        TrackingUnreachable
            If the tracking server does not answer.
        """
        with self._server.session(name):
            client = self._server.client()
            if self._is_settled(client, name, weights):
                return
            begun = self._founders(client, name)
            number = str(begun[0].version) if begun else self.add_version(name, weights, config, card())
            client.set_registered_model_alias(name, CHAMPION, number)

    def _is_settled(self, client: MlflowClient, name: str, weights: bytes) -> bool:
        """Return whether there is nothing to register; create the model, or wait for the run that did."""
        if self._has_champion(client, name):
            return True
        if create_model(client, name):
            return False
        for _ in range(FOUNDING_SECONDS if self._server.is_remote else 0):
            if self._is_taken(client, name, weights):
                break
            time.sleep(1)
            if self._has_champion(client, name):
                return True
        return self._is_taken(client, name, weights)

    def _is_taken(self, client: MlflowClient, name: str, weights: bytes) -> bool:
        """Return whether versions without a champion are intended, not the result of an interrupted first run."""
        if SETTLED in client.get_registered_model(name).tags:
            return True
        founders = self._founders(client, name)
        if len(founders) == 1:
            return self._server.artifact(founders[0].source, WEIGHTS_FILE) != weights
        return bool(founders)

    def _founders(self, client: MlflowClient, name: str) -> list[ModelVersion]:
        """Return the versions that were not registered as challengers."""
        versions = client.search_model_versions(f"name = '{name}'")
        return [version for version in versions if CANDIDATE not in version.tags]

    def _has_champion(self, client: MlflowClient, name: str) -> bool:
        found = client.search_registered_models(filter_string=f"name = '{name}'")
        return any(CHAMPION in model.aliases for model in found)

    def add_version(self, name: str, weights: bytes, config: bytes, card: VersionCard = NO_CARD) -> str:
        """Register two files as a model's next version, without an alias; return its number."""
        return add_version(self._server, name, ModelFiles(weights, config), card=card)

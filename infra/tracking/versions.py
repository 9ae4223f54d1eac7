"""Versions of registered models: their URLs (`parse_model_url`), and how their files are stored (`add_version`)."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from infra.tracking.model_artifact import CONFIG_FILE, WEIGHTS_FILE, write_model_folder
from infra.tracking.server import NOT_THERE, ModelNotFound, TrackingServer
from infra.tracking.version_card import NO_CARD, VersionCard

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_NAMED = 8
"""Number of versions that a message names."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Contents of the two files of a version."""

    weights: bytes
    config: bytes

    @property
    def folder(self) -> str:
        """Name of the folder of a version: a run may log several versions, whose files must stay apart."""
        return f"model-{sha256(self.config + self.weights).hexdigest()[:12]}"


def parse_model_url(url: str) -> tuple[str, str | None, str]:
    """Split `models:/name@alias` or `models:/name/version` into name, alias, version.

    Raises
    ------
    ModelNotFound
        If the URL has neither form.
    """
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


def find_version(client: MlflowClient, url: str) -> ModelVersion:
    """Return the version that `models:/name@alias` or `models:/name/version` refers to now.

    Raises
    ------
    ModelNotFound
        If there is none; the message names the models or versions that exist.
    """
    from mlflow.exceptions import MlflowException

    name, alias, number = parse_model_url(url)
    try:
        if alias is not None:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, number)
    except MlflowException as error:
        if error.error_code not in NOT_THERE:
            raise
        raise ModelNotFound(f"{url}: {_what_exists(client, name, alias)}") from error


def _what_exists(client: MlflowClient, name: str, alias: str | None) -> str:
    """Say which models or, for an existing model, which of its newest versions are registered."""
    models = {model.name: model.aliases for model in client.search_registered_models()}
    if not models:
        return "no such model is registered; the first run registers derain-student"
    if name not in models:
        return f"no such model is registered; registered: {', '.join(sorted(models))}"
    found = client.search_model_versions(f"name = '{name}'")
    versions = sorted((int(each.version) for each in found), reverse=True)
    named = [f"{version}{_aliases_of(models[name], version)}" for version in versions[:_NAMED]]
    more = f" and {len(versions) - _NAMED} older ones" if len(versions) > _NAMED else ""
    return f"{name} has no such {'alias' if alias else 'version'}; it has {', '.join(named) or 'none'}{more}"


def _aliases_of(aliases: Mapping[str, str], version: int) -> str:
    found = sorted(alias for alias, number in aliases.items() if int(number) == version)
    return f" ({', '.join(found)})" if found else ""


def create_model(client: MlflowClient, name: str) -> bool:
    """Create a model without versions; return whether this process did it."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def add_version(
    server: TrackingServer,
    name: str,
    files: ModelFiles,
    training_run: str | None = None,
    card: VersionCard = NO_CARD,
) -> str:
    """Log files as artifacts of a run and register them as a model's next version; return its number.

    Parameters
    ----------
    server : TrackingServer
        Where the model is registered.
    name : str
        Name of the registered model, which is created if it does not exist.
    files : ModelFiles
        Files of the version.
    training_run : str, optional
        Id of the run that trained them. Default: a new run.
    card : VersionCard, optional
        Description, tags, figures and picture of the version.
    """
    client = server.client()
    create_model(client, name)
    source, run_id = _upload(server, name, files, training_run, card)
    tags, text = dict(card.tags), card.description
    return str(client.create_model_version(name, source, run_id, tags, description=text).version)


def read_files(server: TrackingServer, source: str) -> ModelFiles:
    """Read the files of a version from its artifact URL."""
    weights, config = (server.artifact(source, part) for part in (WEIGHTS_FILE, CONFIG_FILE))
    return ModelFiles(weights, config)


def has_files(server: TrackingServer, source: str, files: ModelFiles) -> bool:
    """Return whether these are the files of a version; False if the version's own files are missing."""
    try:
        return read_files(server, source) == files
    except FileNotFoundError:
        return False


def _upload(
    server: TrackingServer, name: str, files: ModelFiles, training_run: str | None, card: VersionCard
) -> tuple[str, str]:
    """Log a version's folder to the run of its training, or to a new run; return its URL and the run id."""
    client = server.client()
    if training_run is None:
        run = client.create_run(server.experiment(client, name), run_name=name)
    else:
        with server.translate_errors(f"run {training_run}"):
            run = client.get_run(training_run)
    with tempfile.TemporaryDirectory() as folder:
        write_model_folder(Path(folder), files.weights, files.config)
        card.write(Path(folder))
        client.log_artifacts(run.info.run_id, folder, files.folder)
    for figure, value in card.figures.items():
        client.log_metric(run.info.run_id, figure, value)
    if training_run is None:
        client.set_terminated(run.info.run_id)
    return f"{run.info.artifact_uri}/{files.folder}", run.info.run_id

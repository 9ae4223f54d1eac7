"""Resolution of a run's model (`resolve_model`) and device before any work starts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from infra.catalog.promotions import Ledger
from infra.records import WEIGHTS_FILE, model_label
from infra.settings import Settings, absolute_url
from infra.storage.location import local_home
from infra.tracking.local_lookup import resolve_here
from infra.tracking.local_store import DATABASE
from infra.tracking.registry import CHAMPION, CHAMPION_URL, STUDENT, Registry
from infra.tracking.server import ModelNotFound
from models.packed import ModelFile
from models.shipped import DEFAULT, WEIGHTS, NetworkUnknown, network_path, shipped_networks
from tasks.refusals import PreflightFailed

SHIPPED_AS = {
    STUDENT: f"{DEFAULT}.safetensors",
    "afr-net": "afr-net-*.safetensors",
    "semi-drdnet": "drd-net-*.safetensors",
}
"""Registered models, and the weights that become their version 1 when they are first used."""

_REGISTERED = re.compile(r"[\w.-]+(?:@[\w.-]+|/\d+)")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model of a run, resolved once."""

    model_file: ModelFile
    name: str
    version: str

    @property
    def label(self) -> str:
        """The model as users write it; see `infra.records.model_label`."""
        return model_label(self.name, self.version)


def refuse_absent_device(settings: Settings) -> None:
    """Refuse a device that this machine does not have, if it does the computing.

    Raises
    ------
    PreflightFailed
        If the device is missing; the message names `DERAIN_DEVICE` and the remedy.
    """
    if not settings.device.startswith("cuda"):
        return
    from models.engine import choose_device  # imports PyTorch only if needed

    try:
        choose_device(settings.device)
    except ValueError as error:
        raise PreflightFailed(f"DERAIN_DEVICE: {error}") from error


def resolve_model(settings: Settings, model: str) -> ResolvedModel:
    """Resolve a model once, from the registry, which the first run fills, or from a weights file."""
    from models.modelfile import build, read_model_file  # imports PyTorch only if needed

    if not model.startswith("models:/"):
        path = weights_file(model)
        return ResolvedModel(read_model_file(path), path.stem, WEIGHTS_FILE)
    registry = Registry(settings)
    register_shipped(settings, model.removeprefix("models:/").partition("@")[0].partition("/")[0])
    registered = registry.resolve(model)
    model_file = ModelFile(registered.weights, registered.config)
    build(model_file, name=model)  # another version of this package may have registered it
    return ResolvedModel(model_file, registered.name, registered.version)


def registered_url(typed: str) -> str | None:
    """Return the URL that `champion`, `name@alias` or `name/version` abbreviates; None for anything else."""
    if typed == CHAMPION:
        return CHAMPION_URL
    is_short = _REGISTERED.fullmatch(typed) and not Path(absolute_url(typed)).exists()
    return f"models:/{typed}" if is_short else None


def weights_file(model: str) -> Path:
    """Return the weights file of an unregistered model, given the name of a shipped network or a path.

    Raises
    ------
    NetworkUnknown
        If it is neither; the message suggests the nearest name.
    """
    url = registered_url(model)
    if url is not None:
        raise NetworkUnknown(f"{model}: no network of this name ships; did you mean {url}?")
    return Path(absolute_url(str(network_path(model))))


def resolve_quickly(settings: Settings, model: str) -> ResolvedModel:
    """Resolve a model as `resolve_model` does, but without MLflow and PyTorch if the workspace knows its version.

    `require_usable` then checks whether this version of the package can build the network.
    """
    known = resolve_here(settings, model) if model.startswith("models:/") else None
    if known is None:
        return resolve_model(settings, model)
    return ResolvedModel(ModelFile(known.weights, known.config), known.name, known.version)


def require_usable(model: ResolvedModel) -> None:
    """Refuse a model whose network this version of the package cannot build, or whose weights are damaged.

    Raises
    ------
    ModelFileInvalid
        With a message of one line.
    """
    from models.modelfile import build  # imports PyTorch only if needed

    build(model.model_file, name=model.label)


def resolve_at_once(settings: Settings, model: str) -> ResolvedModel:
    """Resolve a model as `resolve_quickly` does, even if nothing was ever registered.

    Shipped networks are part of the package and are not checked. If nothing was ever registered, the champion is
    the shipped one; this function does not register it.
    """
    shipped = {str(network.path): network for network in shipped_networks()}
    if model in shipped:
        return ResolvedModel(shipped[model].read(), shipped[model].name, WEIGHTS_FILE)
    if model == CHAMPION_URL and _is_untouched(settings):
        return ResolvedModel(shipped_networks()[0].read(), STUDENT, "1")
    return resolve_quickly(settings, model)


def _is_untouched(settings: Settings) -> bool:
    """Return whether no champion was ever registered or promoted here; a lost registry does not count."""
    return not has_registry(settings) and Ledger(settings.workspace).last_move(STUDENT) is None


def has_registry(settings: Settings) -> bool:
    """Return whether models may have been registered, on a server or in the database of the workspace."""
    return settings.tracking_uri is not None or (local_home(settings.workspace) / DATABASE).exists()


def register_shipped(settings: Settings, name: str) -> None:
    """Register the shipped weights of a model, if there are any and no version serves.

    Raises
    ------
    PreflightFailed
        If the promotion ledger has a champion, so that the registry must have been lost.
    """
    from models.modelfile import read_model_file
    from tasks.version_card import card_of

    paths = sorted(WEIGHTS.glob(SHIPPED_AS.get(name, "none")))
    registry = Registry(settings)
    if not paths or _has_champion(registry, name):
        return
    if registry.is_empty(name):
        _refuse_lost_registry(settings, registry, name)
    shipped, text = read_model_file(paths[0]), paths[0].with_suffix(".md")
    registry.register_shipped(
        shipped.weights,
        shipped.config,
        name,
        lambda: card_of(shipped, text.read_text(encoding="utf-8") if text.exists() else None),
    )


def _has_champion(registry: Registry, name: str) -> bool:
    try:
        return registry.aliases(name).champion is not None
    except ModelNotFound:
        return False


def _refuse_lost_registry(settings: Settings, registry: Registry, name: str) -> None:
    ledger = Ledger(settings.workspace)
    known = ledger.last_move(name)
    if known is not None:
        raise PreflightFailed(
            f"{registry.uri} has no version of {name}, but {model_label(name, known.to_version)} has been champion"
            f" since {known.decided_at:%Y-%m-%d %H:%M} UTC by the ledger, {ledger.url}: restore the registry"
            " (mlflow.db from its backup next to it, mlflow.db.backup), or set DERAIN_TRACKING_URI to where it is;"
            " to start over, move the ledger away"
        )

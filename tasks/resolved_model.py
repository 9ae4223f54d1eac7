"""The model that a run works with, and the device: what is asked for, found before any work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from infra.settings import Settings, absolute_url
from infra.tracking.registry import STUDENT, Registry
from models.engine import choose_device
from models.modelfile import SHIPPED, ModelFile, build, read_model_file
from tasks.refusals import PreflightFailed

SHIPPED_AS = {
    STUDENT: SHIPPED.name,
    "afr-net": "afr-net-*.safetensors",
    "semi-drdnet": "drd-net-*.safetensors",
}
"""Registered models and the weights that become their version 1 when they are first asked for."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """The model of a run, resolved once."""

    model_file: ModelFile
    name: str
    version: str

    @property
    def label(self) -> str:
        """Name it for people: `derain-student/3`, or the name of its file."""
        return self.name if self.version == "file" else f"{self.name}/{self.version}"


def refuse_absent_device(settings: Settings) -> None:
    """Refuse a device that this machine does not have, where this machine is to compute.

    Raises
    ------
    PreflightFailed
        Names `DERAIN_DEVICE` and the way out.
    """
    try:
        choose_device(settings.device)
    except ValueError as error:
        raise PreflightFailed(f"DERAIN_DEVICE: {error}") from error


def resolve_model(settings: Settings, model: str) -> ResolvedModel:
    """Resolve a model once: from the registry, which the first run fills, or from a weights file."""
    if not model.startswith("models:/"):
        path = Path(absolute_url(model))
        return ResolvedModel(read_model_file(path), path.stem, "file")
    registry = Registry(settings)
    register_shipped(registry, model.removeprefix("models:/").partition("@")[0].partition("/")[0])
    registered = registry.resolve(model)
    model_file = ModelFile(registered.weights, registered.config)
    build(model_file, name=model)  # an older or newer version of this package may have registered it
    return ResolvedModel(model_file, registered.name, registered.version)


def register_shipped(registry: Registry, name: str) -> None:
    """Register what the package ships of a model, if it ships anything and nothing is registered."""
    paths = sorted(SHIPPED.parent.glob(SHIPPED_AS.get(name, "none")))
    if paths:
        shipped = read_model_file(paths[0])
        registry.register_shipped(shipped.weights, shipped.config, name)

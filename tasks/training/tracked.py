"""What every training has around it: a device, a tracked run that is gone on with, a place in the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from infra.registry import Registry
from infra.settings import Settings
from infra.tracking import TrackedRun, open_run
from infra.tracking_server import ModelNotFound, TrackingUnreachable
from models.engine import choose_device
from models.modelfile import read_model_file
from tasks import preflight


class TrainingFailed(Exception):
    """A training that came to nothing; the message says why."""


REFUSALS = (*preflight.REFUSALS, TrainingFailed)
"""Errors whose message is the one line that a user needs."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training as it is filed."""

    experiment: str
    preset: str
    """Of the network: its weights lie in the work folder under this name."""
    work: Path
    """Where checkpoint, curve and weights lie, and what remembers the run."""
    parameters: Mapping[str, object]
    """All that the training depends on."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What the weights come from: of the run and of the version."""

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.work / f"{self.preset}.safetensors"


def launched(settings: Settings, precision: str) -> Fabric:
    """Start Fabric on the device of the settings."""
    device = choose_device(settings.device)
    fabric = Fabric(
        accelerator=device.type,
        devices=1 if device.index is None else [device.index],
        precision=precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


@contextmanager
def tracked(settings: Settings, training: Training) -> Iterator[TrackedRun]:
    """Keep a training in MLflow; what cannot be told now is told by the next run of the same request.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer; tells where everything lies meanwhile. An error of the training itself is
        never hidden by it.
    """
    memory = training.work / "mlflow_run"
    run = open_run(settings, training.experiment, training.preset, training.parameters, memory)
    try:
        run.describe(_run_tags(training.tags), {})
        yield run
        run.end()
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"{error}; what was trained and what is to be told lies in {training.work}: run it again"
        ) from error
    except BaseException:
        with suppress(TrackingUnreachable, ModelNotFound):
            run.end("FAILED")
        raise


@contextmanager
def going_well(work: Path) -> Iterator[None]:
    """Let a training that goes astray, to a weight that is not finite say, end in one line.

    Raises
    ------
    TrainingFailed
        In place of a ValueError.
    """
    try:
        yield
    except ValueError as error:
        raise TrainingFailed(f"{work}: the training went astray ({error})") from error


def registered(settings: Settings, training: Training, run: TrackedRun, name: str, weights: Path) -> str:
    """Make weights of a training the challenger of a model; return the version's number.

    It belongs to the run, and both name what it comes from and each other.
    """
    best, registry = read_model_file(weights), Registry(settings)
    version = registry.register_challenger(name, best.weights, best.config, run.run_id)
    origin = {**training.tags, "training_run": run.run_id, "experiment": training.experiment}
    registry.describe_version(name, version, origin)
    run.describe({"registered_version": f"{name}/{version}"}, {})
    return version


def _run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Name the commit as MLflow's own pages do, too."""
    return {**tags, **({"mlflow.source.git.commit": tags["git_commit"]} if "git_commit" in tags else {})}

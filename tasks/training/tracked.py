"""Sessions of trainings: a device, a tracked run that is resumed, and a place in the registry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from infra.errors import UserError
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.tracking.registry import Registry
from infra.tracking.runs import TrackedRun, open_run
from infra.tracking.server import ModelNotFound, TrackingUnreachable
from models.engine import choose_device
from models.modelfile import ModelFile, read_model_file, write_model_file
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric


class TrainingFailed(UserError):
    """A training that came to nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class Training:
    """A training as it is filed."""

    experiment: str
    config: TrainConfig
    work: Path
    """Where checkpoint, curve and weights lie, and what remembers the run."""
    parameters: Mapping[str, object]
    """All that the training depends on."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What the weights come from: of the run and of the version."""

    @property
    def best(self) -> Path:
        """The best weights so far."""
        return self.work / f"{self.config.preset}.safetensors"


@dataclass(frozen=True, slots=True)
class TrainingSession:
    """An open training: its device, its tracked run, and its lease."""

    settings: Settings
    training: Training
    fabric: Fabric
    run: TrackedRun
    lease: Lease

    def register(self, name: str, weights: Path) -> str:
        """Make weights the challenger of a model; return the version's number.

        It belongs to the run, and both name what it comes from and each other.

        Raises
        ------
        LeaseLost
            If another run trains the same by now.
        """
        self.lease.check()
        found, registry = read_model_file(weights), Registry(self.settings)
        version = registry.register_challenger(name, found.weights, found.config, self.run.run_id)
        origin = {
            **self.training.tags,
            "training_run": self.run.run_id,
            "experiment": self.training.experiment,
        }
        registry.describe_version(name, version, origin)
        self.run.describe({"registered_version": f"{name}/{version}"}, {})
        return version

    def file(self) -> None:
        """Keep checkpoint and curve with the run."""
        for name in ("checkpoint.pt", "curve.csv"):
            self.run.file(self.training.work / name, "training")


@contextmanager
def open_session(
    settings: Settings, training: Training, start: ModelFile | None, run_id: str
) -> Iterator[TrainingSession]:
    """Begin or resume a training; the lease keeps other processes from doing the same.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    training : Training
        What is to be trained.
    start : ModelFile, optional
        What the weights begin from: `start.safetensors` in the work folder.
    run_id : str
        Which flow run this is: it holds the lease of the work folder.

    Raises
    ------
    LeaseHeld, TrackingUnreachable
        Or another of `tasks.refusals.REFUSALS`, in one line.
    """
    fabric = launched(settings, training.config.precision)
    name = f"{training.experiment} {training.work.name}"
    with lease_of(settings, name, run_id) as lease:
        training.work.mkdir(parents=True, exist_ok=True)
        if start is not None:
            write_model_file(start, training.work / "start.safetensors")
        with tracked(settings, training) as run:
            yield TrainingSession(settings, training, fabric, run, lease)


def launched(settings: Settings, precision: str) -> Fabric:
    """Start Fabric on the device of the settings."""
    device = choose_device(settings.device)
    return launch_fabric(device.type, precision, 1 if device.index is None else [device.index])


@contextmanager
def tracked(settings: Settings, training: Training) -> Iterator[TrackedRun]:
    """Track a training in MLflow; what the server does not take is sent by the next run of the same request.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer; names the folder where everything lies meanwhile. An error of the training
        itself is never hidden by it.
    """
    memory = training.work / "mlflow_run"
    run = open_run(settings, training.experiment, training.config.preset, training.parameters, memory)
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
def as_training_failed(work: Path) -> Iterator[None]:
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


def _run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Name the commit as MLflow's own pages do, too."""
    return {**tags, **({"mlflow.source.git.commit": tags["git_commit"]} if "git_commit" in tags else {})}

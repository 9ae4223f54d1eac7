"""Training sessions (`open_session`): device, lease, resumable tracked run, and registration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from lightning_fabric import Fabric

from infra.errors import AccessDenied, UserError, one_line
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.tracking.registry import Registry
from infra.tracking.runs import TrackedRun, open_run
from infra.tracking.server import ModelNotFound, TrackingUnreachable
from models.engine import choose_device
from models.errors import ModelError
from models.modelfile import ModelFile, NotRepresentable, read_model_file, write_model_file
from models.training.config import TrainConfig
from models.training.divergence import Diverged
from models.training.fabric import launch_fabric
from models.training.semi.collapse import Collapsed
from tasks.prefect_runs import run_log
from tasks.version_card import card_of


class TrainingFailed(UserError):
    """Raised if a training fails; the message says why."""


class Unstable(TrainingFailed):
    """Raised if a training diverged or its network collapsed: run again, it would end in the same way."""


@dataclass(frozen=True, slots=True)
class Training:
    """The identity of a training: its names, folder, parameters and tags."""

    experiment: str
    config: TrainConfig
    work: Path
    """Folder of checkpoint, curve, weights, and the id of the tracked run."""
    parameters: Mapping[str, object]
    """Everything that the training depends on."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Provenance of the weights, for run and version."""
    title: str = ""
    """Name of the tracked run; by default that of the preset."""

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
        """Register weights as the challenger of a model; return the version number.

        The version belongs to the run; both record their provenance and refer to each other.

        Raises
        ------
        LeaseLost
            If another run has taken over the training.
        """
        self.lease.check()
        run_log().info(f"registering {name}")
        found, registry = read_model_file(weights), Registry(self.settings)
        card = card_of(found)
        version = registry.register_challenger(name, found.weights, found.config, self.run.run_id, card)
        origin = {
            **self.training.tags,
            "training_run": self.run.run_id,
            "experiment": self.training.experiment,
        }
        registry.describe_version(name, version, origin)
        self.run.describe({"registered_version": f"{name}/{version}"}, {})
        return version

    def file(self) -> None:
        """Log checkpoint and curve to the run."""
        for name in ("checkpoint.pt", "curve.csv"):
            self.run.file(self.training.work / name, "training")


@contextmanager
def open_session(
    settings: Settings, training: Training, start: ModelFile | None, run_id: str
) -> Iterator[TrainingSession]:
    """Start or resume a training; the lease excludes other processes.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    training : Training
        The training to start or resume.
    start : ModelFile, optional
        Initial weights, stored as `start.safetensors` in the work folder.
    run_id : str
        Id of the flow run, which holds the lease of the work folder.

    Raises
    ------
    LeaseHeld, TrackingUnreachable
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    fabric = launched(settings, training.config.precision)
    name = f"{training.experiment} {training.work.name}"
    with lease_of(settings, name, run_id) as lease:
        make_folder(training.work)
        if start is not None:
            write_model_file(start, training.work / "start.safetensors")
        with tracked(settings, training) as run:
            yield TrainingSession(settings, training, fabric, run, lease)


def make_folder(work: Path) -> None:
    """Make the work folder of a training.

    Raises
    ------
    AccessDenied
        If it cannot be written: in a container, for example, whose root is read-only.
    """
    try:
        work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AccessDenied(
            f"{work}: {error.strerror}; a training keeps its checkpoints there: make the folder writable, or run in"
            " another folder"
        ) from error


def launched(settings: Settings, precision: str) -> Fabric:
    """Start Fabric on the device of the settings."""
    device = choose_device(settings.device)
    return launch_fabric(device.type, precision, 1 if device.index is None else [device.index])


@contextmanager
def tracked(settings: Settings, training: Training) -> Iterator[TrackedRun]:
    """Track a training in MLflow; data that the server does not accept is sent by the next run of the same request.

    Raises
    ------
    TrackingUnreachable
        If the server does not answer; the message names the folder that holds all records meanwhile. It never hides
        an error of the training itself.
    """
    memory = training.work / "mlflow_run"
    title = training.title or f"{training.config.preset}, {training.config.steps:,} steps"
    run = open_run(settings, training.experiment, title, training.parameters, memory)
    try:
        run.describe(_run_tags(training.tags), {})
        yield run
        run.end()
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"{error}; weights and unsent records are in {training.work}: run it again"
        ) from error
    except BaseException:
        with suppress(TrackingUnreachable, ModelNotFound):
            run.end("FAILED")
        raise


@contextmanager
def as_training_failed(work: Path) -> Iterator[None]:
    """End a training that diverged, for example to weights that are not finite, or whose disk failed, in one line.

    The checkpoint of one that diverged or collapsed is removed, because a training that resumes from it ends in the
    same way. The best weights are kept.

    Raises
    ------
    Unstable
        Instead of Diverged, Collapsed or NotRepresentable.
    TrainingFailed
        Instead of an OSError or another ValueError; the checkpoint stays.
    """
    try:
        yield
    except (Diverged, Collapsed, NotRepresentable) as error:
        (work / "checkpoint.pt").unlink(missing_ok=True)
        raise Unstable(f"{work}: {_unstable(error)}") from error
    except (OSError, ValueError) as error:
        raise TrainingFailed(f"{work}: {one_line(error)}; run it again to resume") from error


def _unstable(error: ModelError) -> str:
    return f"the training diverged ({error})" if isinstance(error, NotRepresentable) else str(error)


def _run_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Add the commit under the name that MLflow's own pages use."""
    return {**tags, **({"mlflow.source.git.commit": tags["git_commit"]} if "git_commit" in tags else {})}

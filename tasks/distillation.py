"""A student distilled, tracked and registered as the challenger; killed, the same request goes on where it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields

import psutil
import torch
from lightning_fabric import Fabric

from infra.lease import Lease, lease_location
from infra.registry import STUDENT, Registry
from infra.settings import Settings
from infra.tracking import TrackedRun, open_run
from infra.tracking_server import ModelNotFound, TrackingUnreachable
from models.distill import Lead, distil, incumbent, measure_lead
from models.engine import choose_device
from models.metrics import Image
from models.modelfile import read_model_file, write_model_file
from tasks import preflight
from tasks.distillation_request import Prepared
from tasks.progress import run_log

EXPERIMENT = "distillation"


class DistillationFailed(Exception):
    """A training that came to nothing; the message says why."""


REFUSALS = (*preflight.REFUSALS, DistillationFailed)
"""Errors whose message is the one line that a user needs."""


@dataclass(frozen=True, slots=True)
class Distilled:
    """A distillation that came to its end."""

    run_id: str
    version: str
    before: Lead
    after: Lead

    @property
    def model(self) -> str:
        """The version as a model of the registry."""
        return f"models:/{STUDENT}/{self.version}"

    def __str__(self) -> str:
        """Tell it in one line."""
        return (
            f"version {self.version} of {STUDENT} is challenger, distilled in MLflow run {self.run_id}: "
            f"{self.after.student:.2f} dB on validation ({self.before.student:.2f} before), teacher"
            f" {self.after.teacher:.2f} dB"
        )


class WithSystem:
    """A recorder that tells a tracked run what the process uses, beside what the training tells."""

    def __init__(self, run: TrackedRun) -> None:
        self._run = run
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only begins to measure

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Keep named numbers of a step."""
        self._run.scalars(step, {**values, **self._system()})

    def picture(self, step: int, name: str, picture: Image) -> None:
        """Keep a picture of a step."""
        self._run.picture(step, name, picture)

    def _system(self) -> dict[str, float]:
        used = {
            "system/cpu_utilization_percentage": self._process.cpu_percent(),
            "system/process_memory_megabytes": self._process.memory_info().rss / 1e6,
        }
        if torch.cuda.is_available():
            used["system/gpu_memory_megabytes"] = torch.cuda.max_memory_allocated() / 1e6
        return used


def distil_student(settings: Settings, prepared: Prepared, run_id: str) -> Distilled:
    """Train a student, or go on training it, and register its best weights as the challenger.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    prepared : Prepared
        What was asked for.
    run_id : str
        Which flow run this is: it holds the lease of the work folder.

    Raises
    ------
    DistillationFailed
        Or another of `REFUSALS`: what is wrong, in one line. The next run goes on from the last checkpoint.
    """
    name = f"distillation {prepared.work.name}"
    fabric = Fabric(
        accelerator=choose_device(settings.device).type,
        devices=1,
        precision=prepared.config.precision,  # type: ignore[arg-type]
    )
    fabric.launch()
    with Lease(lease_location(settings.workspace), name, run_id, settings.lease_seconds) as lease:
        if prepared.start is not None:
            write_model_file(prepared.start.model_file, prepared.work / "start.safetensors")
        with _tracked(settings, prepared) as run:
            before = _lead(fabric, prepared, "lead_before.json")
            (run_log().info if before.suffices else run_log().warning)("%s", before)
            _train(fabric, prepared, run)
            after = _after(fabric, prepared)
            lease.check()
            version = _kept(settings, prepared, run, before, after)
    return Distilled(run.run_id, version, before, after)


@contextmanager
def _tracked(settings: Settings, prepared: Prepared) -> Iterator[TrackedRun]:
    """Keep the distillation in MLflow; what cannot be told now is told by the next run of the same request."""
    parameters, memory = prepared.parameters, prepared.work / "mlflow_run"
    run = open_run(settings, EXPERIMENT, prepared.config.preset, parameters, memory)
    try:
        run.describe(_run_tags(prepared), {})
        yield run
        run.end()
    except TrackingUnreachable as error:
        raise TrackingUnreachable(
            f"{error}; what was trained and what is to be told lies in {prepared.work}: run it again"
        ) from error
    except BaseException:
        with suppress(TrackingUnreachable, ModelNotFound):
            run.end("FAILED")
        raise


def _run_tags(prepared: Prepared) -> dict[str, str]:
    tags = prepared.tags
    return tags | ({"mlflow.source.git.commit": tags["git_commit"]} if "git_commit" in tags else {})


def _train(fabric: Fabric, prepared: Prepared, run: TrackedRun) -> None:
    try:
        distil(
            fabric,
            prepared.config,
            prepared.teaching,
            prepared.folder.path,
            prepared.work,
            (WithSystem(run),),
        )
    except ValueError as error:  # a weight that is not finite
        raise DistillationFailed(f"{prepared.work}: the training went astray ({error})") from error


def _lead(fabric: Fabric, prepared: Prepared, memory: str) -> Lead:
    teacher, folder = prepared.teaching.teacher, prepared.folder.path
    return measure_lead(fabric, teacher, incumbent(prepared.config), folder, prepared.work / memory)


def _after(fabric: Fabric, prepared: Prepared) -> Lead:
    best = prepared.work / f"{prepared.config.preset}.safetensors"
    teacher, folder = prepared.teaching.teacher, prepared.folder.path
    return measure_lead(fabric, teacher, best, folder, prepared.work / "lead_after.json")


def _kept(settings: Settings, prepared: Prepared, run: TrackedRun, before: Lead, after: Lead) -> str:
    """Keep figures, checkpoint and curve with the run, and register the best weights; return their version."""
    figures = {
        f"lead/{when}_{who.name}": getattr(lead, who.name)
        for when, lead in (("before", before), ("after", after))
        for who in fields(lead)
    }
    run.describe({"teacher_leads_enough": str(before.suffices)}, figures)
    for name in ("checkpoint.pt", "curve.csv"):
        run.file(prepared.work / name, "training")
    best = read_model_file(prepared.work / f"{prepared.config.preset}.safetensors")
    version = Registry(settings).register_challenger(STUDENT, best.weights, best.config, run.run_id)
    Registry(settings).describe_version(
        STUDENT, version, {**prepared.tags, "training_run": run.run_id, "experiment": EXPERIMENT}
    )
    run.describe({"registered_version": f"{STUDENT}/{version}"}, {})
    return version

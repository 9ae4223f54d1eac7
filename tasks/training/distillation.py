"""A student distilled, tracked and registered as the challenger; killed, the same request goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import psutil
import torch
from lightning_fabric import Fabric

from infra.lease import Lease, lease_location
from infra.registry import STUDENT
from infra.settings import Settings
from infra.tracking import TrackedRun
from models.banks import load_training_data
from models.blending import keep
from models.distill import Lead, distil, incumbent, measure_lead
from models.metrics import Image
from models.modelfile import write_model_file
from models.validation import render_validation, validate
from tasks.progress import run_log
from tasks.training.distillation_request import Prepared
from tasks.training.tracked import Training, going_well, launched, registered, tracked

EXPERIMENT = "distillation"


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
    TrainingFailed
        Or another of `tasks.training.tracked.REFUSALS`: what is wrong, in one line. The next run goes on from the
        last checkpoint.
    """
    name = f"distillation {prepared.work.name}"
    fabric, training = launched(settings, prepared.config.precision), _filed(prepared)
    with Lease(lease_location(settings.workspace), name, run_id, settings.lease_seconds) as lease:
        if prepared.start is not None:
            write_model_file(prepared.start.model_file, prepared.work / "start.safetensors")
        with tracked(settings, training) as run:
            before = _lead(fabric, prepared, incumbent(prepared.config), "lead_before.json")
            (run_log().info if before.suffices else run_log().warning)("%s", before)
            _train(fabric, prepared, run)
            weights = _weights(fabric, prepared, training)
            after = _lead(fabric, prepared, weights, "lead_after.json")
            _record(prepared, run, before, after)
            lease.check()
            version = registered(settings, training, run, STUDENT, weights)
    return Distilled(run.run_id, version, before, after)


def _filed(prepared: Prepared) -> Training:
    return Training(EXPERIMENT, prepared.config.preset, prepared.work, prepared.parameters, prepared.tags)


def _train(fabric: Fabric, prepared: Prepared, run: TrackedRun) -> None:
    data, recorders = prepared.folder.path, (WithSystem(run),)
    with going_well(prepared.work):
        distil(fabric, prepared.config, prepared.teaching, data, prepared.work, recorders)


def _lead(fabric: Fabric, prepared: Prepared, student: Path | None, memory: str) -> Lead:
    teacher, folder = prepared.teaching.teacher, prepared.folder.path
    return measure_lead(fabric, teacher, student, folder, prepared.work / memory)


def _weights(fabric: Fabric, prepared: Prepared, training: Training) -> Path:
    """Return the best weights; of a student that was there before, as far from it as they forget little."""
    if prepared.start is None:
        return training.weights
    held_out = load_training_data(prepared.folder.path, held_out=True).to(fabric.device)
    pairs = render_validation(held_out, prepared.config.validation_photographs)
    start = prepared.start.model_file
    return keep(fabric, training.weights, start, lambda network: validate(network, pairs)).weights


def _record(prepared: Prepared, run: TrackedRun, before: Lead, after: Lead) -> None:
    """Keep figures, checkpoint and curve with the run."""
    figures = {
        f"lead/{when}_{who.name}": getattr(lead, who.name)
        for when, lead in (("before", before), ("after", after))
        for who in fields(lead)
    }
    run.describe({"teacher_leads_enough": str(before.suffices)}, figures)
    for name in ("checkpoint.pt", "curve.csv"):
        run.file(prepared.work / name, "training")

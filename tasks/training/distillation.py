"""Distillation of a student (`distil_student`): tracked, resumable, and registered as the challenger."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from lightning_fabric import Fabric

from infra.records import model_label
from infra.settings import Settings
from infra.tracking.registry import STUDENT
from infra.tracking.runs import TrackedRun
from models.evaluation.validation import render_validation, validate
from models.rain.banks import load_training_data
from models.training.distill.run import Lead, distil, incumbent, measure_lead
from models.training.weight_interpolation import interpolate_best
from tasks.prefect_runs import run_log
from tasks.training.distillation_request import PreparedDistillation
from tasks.training.system_use import WithSystem
from tasks.training.tracked import Training, TrainingSession, as_training_failed, open_session

EXPERIMENT = "distillation"


@dataclass(frozen=True, slots=True)
class Distilled:
    """The result of a completed distillation."""

    run_id: str
    version: str
    before: Lead
    after: Lead

    @property
    def model(self) -> str:
        """The version as a registry URL."""
        return f"models:/{STUDENT}/{self.version}"

    def __str__(self) -> str:
        """Return the result in one line."""
        return (
            f"{model_label(STUDENT, self.version)} is challenger, distilled in MLflow run {self.run_id}: "
            f"{self.after.student:.2f} dB on validation ({self.before.student:.2f} before), teacher"
            f" {self.after.teacher:.2f} dB"
        )


def distil_student(settings: Settings, prepared: PreparedDistillation, run_id: str) -> Distilled:
    """Train a student, or resume its training, and register its best weights as the challenger.

    Parameters
    ----------
    settings : Settings
        Workspace, tracking server, device.
    prepared : PreparedDistillation
        The checked request.
    run_id : str
        Id of the flow run, which holds the lease of the work folder.

    Raises
    ------
    Unstable
        If the training diverged.
    TrainingFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. The next run resumes from the last
        checkpoint.
    """
    start = None if prepared.start is None else prepared.start.model_file
    with open_session(settings, _training(prepared), start, run_id) as session:
        before = _lead(session.fabric, prepared, incumbent(prepared.config), "lead_before.json")
        (run_log().info if before.suffices else run_log().warning)("%s", before)
        _train(session.fabric, prepared, session.run)
        weights = _weights(session, prepared)
        after = _lead(session.fabric, prepared, weights, "lead_after.json")
        _record(session, before, after)
        version = session.register(STUDENT, weights)
    return Distilled(session.run.run_id, version, before, after)


def _training(prepared: PreparedDistillation) -> Training:
    config, start = prepared.config, prepared.start
    begun = "" if start is None else f" from {start.label}"
    title = f"{config.preset}{begun}, taught by {prepared.teaching.teacher.name}, {config.steps:,} steps"
    return Training(EXPERIMENT, config, prepared.work, prepared.parameters, prepared.tags, title)


def _train(fabric: Fabric, prepared: PreparedDistillation, run: TrackedRun) -> None:
    data, recorders = prepared.folder.path, (WithSystem(run),)
    with as_training_failed(prepared.work):
        distil(fabric, prepared.config, prepared.teaching, data, prepared.work, recorders)


def _lead(fabric: Fabric, prepared: PreparedDistillation, student: Path | None, memory: str) -> Lead:
    run_log().info("measuring the lead of the teacher on validation")
    teacher, folder = prepared.teaching.teacher, prepared.folder.path
    return measure_lead(fabric, teacher, student, folder, prepared.work / memory)


def _weights(session: TrainingSession, prepared: PreparedDistillation) -> Path:
    """Return the best weights; for an existing student, interpolated towards it so that little is forgotten."""
    if prepared.start is None:
        return session.training.best
    run_log().info("choosing the interpolation of weights")
    held_out = load_training_data(prepared.folder.path, held_out=True).to(session.fabric.device)
    pairs = render_validation(held_out, prepared.config.validation_photographs)
    start = prepared.start.model_file
    return interpolate_best(
        session.fabric, session.training.best, start, lambda network: validate(network, pairs)
    ).weights


def _record(session: TrainingSession, before: Lead, after: Lead) -> None:
    """Log metrics, checkpoint and curve to the run."""
    figures = {
        f"lead/{when}_{who.name}": getattr(lead, who.name)
        for when, lead in (("before", before), ("after", after))
        for who in fields(lead)
    }
    session.run.describe({"teacher_leads_enough": str(before.suffices)}, figures)
    session.file()

"""The request of a distillation, and its checks (`prepare_distillation`) before anything is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from models.images import RgbImage
from models.modelfile import build
from models.networks.architectures import architecture_of
from models.training.config import TrainConfig
from models.training.distill.objective import DistillConfig
from models.training.distill.run import Teaching
from models.training.distill.teachers import Teacher, TeacherSpec, parse_teacher, teacher_of
from tasks.refusals import PreflightFailed
from tasks.resolved_model import ResolvedModel, resolve_model
from tasks.training.folder import TrainingFolder, folder_named, inspected
from tasks.training.request import (
    checked_config,
    continued,
    origin_tags,
    preset_of,
    refuse_incomplete_data,
    work_folder,
)
from tasks.training.samples import make_training_samples
from tasks.training.unlabelled import refuse_absent, unlabelled_photographs

PRESETS = {
    "smoke": TrainConfig(
        preset="student-tiny",
        steps=120,
        batch=4,
        crop=48,
        warm_up=20,
        finish=0.2,
        validate_every=30,
        validation_photographs=2,
        save_seconds=10.0,
        precision="32-true",
    ),
    "small": TrainConfig(preset="student-small", steps=20_000),
    "base": TrainConfig(preset="student-base", steps=40_000),
}
"""Presets of a student's training: `smoke` shows in minutes that everything works; the others are for real use."""


@dataclass(frozen=True, slots=True)
class DistillRequest:
    """Parameters of the flow, as given."""

    preset: str
    student: str
    teacher: str
    unlabelled_teacher: str
    data: str
    unlabelled: str
    steps: int | None
    attention: bool
    seed: int


@dataclass(frozen=True, slots=True)
class PreparedDistillation:
    """A checked distillation that is ready to start."""

    config: TrainConfig
    teaching: Teaching
    folder: TrainingFolder
    start: ResolvedModel | None
    """Initial weights of the student; None: random weights."""
    work: Path
    """Folder of checkpoint, curve and weights; equal requests share it, so that they are resumed."""

    @property
    def parameters(self) -> dict[str, Any]:
        """Everything that the training depends on, by name, for the tracked run."""
        start = {} if self.start is None else {"start": self.start.label}
        return {
            **asdict(self.config),
            **asdict(self.teaching.config),
            **self.tags,
            **start,
            "photographs": self.folder.photographs,
            "held_out_photographs": self.folder.held_out,
            "unlabelled_photographs": len(self.teaching.photographs),
        }

    @property
    def tags(self) -> dict[str, str]:
        """Provenance for run and version: teachers, data, code."""
        lineage = {key: str(value) for key, value in asdict(self.teaching.lineage).items() if value}
        return {**lineage, **origin_tags(self.folder, self.start)}


def refuse_at_once(settings: Settings, request: DistillRequest) -> None:
    """Make those checks of `prepare_distillation` that take seconds.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    checked_config(settings, PRESETS, request.preset, request.steps, request.seed)
    refuse_incomplete_data(settings, request.data, request.preset)
    refuse_absent(settings, request.unlabelled)
    _start(settings, request, resolve_model(settings, CHAMPION_URL))
    for teacher in {request.teacher, request.unlabelled_teacher or request.teacher}:
        resolve_model(settings, parse_teacher(teacher).model)


def prepare_distillation(settings: Settings, request: DistillRequest) -> PreparedDistillation:
    """Check everything that a distillation needs.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line. Nothing has been changed.
    """
    config = checked_config(settings, PRESETS, request.preset, request.steps, request.seed)
    # Also checks that the registry answers and knows the student's name.
    champion = resolve_model(settings, CHAMPION_URL)
    start = _start(settings, request, champion)
    if start is not None:
        config = replace(continued(config), preset=_student_preset(start))
    teachers = _teachers(settings, request)
    _refuse_itself(start, teachers[0])
    data, photographs = _material(settings, request)
    weights = DistillConfig(attention_weight=0.05 if request.attention else 0.0)
    teaching = Teaching(weights, *teachers, photographs)
    folder = inspected(data)
    work = work_folder(settings, "distill", _identity(config, teaching, folder, start))
    if start is not None:
        config = replace(config, init=str(work / "start.safetensors"))
    return PreparedDistillation(config, teaching, folder, start, work)


def _start(settings: Settings, request: DistillRequest, champion: ResolvedModel) -> ResolvedModel | None:
    if not request.student:
        return None
    return champion if request.student == "champion" else resolve_model(settings, request.student)


def _student_preset(start: ResolvedModel) -> str:
    kind = architecture_of(build(start.model_file).config).name
    if kind != "student":
        raise PreflightFailed(
            f"student {start.label} has the architecture {kind}: only a student can be distilled"
        )
    return preset_of(start, "student")


def _teachers(settings: Settings, request: DistillRequest) -> tuple[Teacher, Teacher]:
    teacher = _teacher(settings, request.teacher)
    if request.unlabelled_teacher in ("", request.teacher):
        return teacher, teacher
    return teacher, _teacher(settings, request.unlabelled_teacher)


def _teacher(settings: Settings, text: str) -> Teacher:
    spec = parse_teacher(text)
    chosen = resolve_model(settings, spec.model)
    return teacher_of(chosen.model_file, TeacherSpec(chosen.label, spec.views))


def _refuse_itself(start: ResolvedModel | None, teacher: Teacher) -> None:
    if start is not None and teacher.digest == start.model_file.digest and teacher.views == 1:
        raise PreflightFailed(
            f"teacher {teacher.name} is the student itself: take self-ensemble:{teacher.name}, or another"
        )


def _material(settings: Settings, request: DistillRequest) -> tuple[Path, Sequence[RgbImage]]:
    """Return the training folder and the unlabelled photographs that the request names, or else the samples."""
    data, unlabelled = request.data or settings.training, request.unlabelled or None
    if not data and request.preset == "smoke":
        folder, rainy = make_training_samples(settings.workspace)
        return folder, _unlabelled(settings, unlabelled or str(rainy))
    folder = folder_named(settings, request.data, request.preset)
    return folder, _unlabelled(settings, unlabelled) if unlabelled else ()


def _unlabelled(settings: Settings, url: str) -> Sequence[RgbImage]:
    try:
        return unlabelled_photographs(settings, url)
    except FileNotFoundError as error:
        raise PreflightFailed(str(error)) from error


def _identity(
    config: TrainConfig, teaching: Teaching, folder: TrainingFolder, start: ResolvedModel | None
) -> dict[str, object]:
    """Return the values that identify a work folder."""
    return {
        "train": asdict(config),
        "distill": asdict(teaching.config),
        "lineage": asdict(teaching.lineage),
        "data": folder.digest,
        "start": None if start is None else start.model_file.digest,
    }

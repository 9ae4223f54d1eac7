"""What a distillation is asked for, looked at in full before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import UnidentifiedImageError

from infra.git import commit
from infra.registry import STUDENT
from infra.settings import Settings, absolute_url
from infra.storage import open_location
from models.architectures import architecture_of, preset_name, presets
from models.banks import load_training_data, photographs_of
from models.distill import Teaching
from models.distillation import DistillConfig
from models.lessons import Photograph
from models.modelfile import build
from models.networks import NetworkConfig
from models.teachers import Teacher, TeacherSpec, parse_teacher, teacher_of
from models.train_config import TrainConfig
from tasks.preflight import ChosenModel, PreflightFailed, choose_model, refuse_absent_device
from tasks.samples import local_home
from tasks.training_samples import make_training_samples
from tasks.unlabelled import unlabelled_photographs

CHAMPION_URL = f"models:/{STUDENT}@champion"
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
"""How a student is trained: `smoke` shows in minutes that all works, the others are for real."""


@dataclass(frozen=True, slots=True)
class DistillRequest:
    """Parameters of the flow, as they were given."""

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
class TrainingFolder:
    """A training folder that was looked at, and what it held then."""

    path: Path
    photographs: int
    held_out: int
    digest: str
    split_digest: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A distillation that may begin."""

    config: TrainConfig
    teaching: Teaching
    folder: TrainingFolder
    start: ChosenModel | None
    """What the student begins from; None: new weights."""
    work: Path
    """Where checkpoint, curve and weights lie: the same for the same request, so that it is gone on with."""

    @property
    def parameters(self) -> dict[str, Any]:
        """All that the training depends on, by name, for the tracked run."""
        start = {} if self.start is None else {"start": _label(self.start)}
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
        """What the student comes from, for run and version: teachers, data, code."""
        lineage = {key: str(value) for key, value in asdict(self.teaching.lineage).items() if value}
        digests = {"data_digest": self.folder.digest, "split_digest": self.folder.split_digest}
        start = {} if self.start is None else {"start_digest": self.start.model_file.digest}
        code = commit()
        return {**lineage, **digests, **start, **({"git_commit": code} if code else {})}


def prepare_distillation(settings: Settings, request: DistillRequest) -> Prepared:
    """Look at everything a distillation needs.

    Raises
    ------
    PreflightFailed
        Or another of `tasks.preflight.REFUSALS`: what is wrong, in one line. Nothing was changed.
    """
    refuse_absent_device(settings)
    config = _train_config(request)
    open_location(settings.workspace).check(writable=True)
    champion = choose_model(settings, CHAMPION_URL)  # the registry is there, and the student has a name in it
    start = _start(settings, request, champion)
    if start is not None:
        config = replace(config, preset=_student_preset(start))
    teachers = _teachers(settings, request)
    _refuse_itself(start, teachers[0])
    data, photographs = _material(settings, request)
    weights = DistillConfig(attention_weight=0.05 if request.attention else 0.0)
    teaching = Teaching(weights, *teachers, photographs)
    folder = _looked_at(data)
    work = local_home(settings.workspace) / "distill" / _digest(config, teaching, folder, start)
    if start is not None:
        config = replace(config, init=str(work / "start.safetensors"))
    return Prepared(config, teaching, folder, start, work)


def _train_config(request: DistillRequest) -> TrainConfig:
    if request.preset not in PRESETS:
        raise PreflightFailed(
            f"preset {request.preset!r}: there is no such one; there are {', '.join(PRESETS)}"
        )
    known = PRESETS[request.preset]
    steps = known.steps if request.steps is None else request.steps
    every = min(known.validate_every, steps)
    return replace(known, steps=steps, seed=request.seed, validate_every=every)


def _start(settings: Settings, request: DistillRequest, champion: ChosenModel) -> ChosenModel | None:
    if not request.student:
        return None
    return champion if request.student == "champion" else choose_model(settings, request.student)


def _student_preset(start: ChosenModel) -> str:
    """Return the preset of what a student begins from; refuse what is no student, or of other sizes."""
    config: NetworkConfig = build(start.model_file).config
    kind, name = architecture_of(config).name, preset_name(config)
    if kind != "student":
        raise PreflightFailed(
            f"student {_label(start)} is of architecture {kind}: only a student can be distilled"
        )
    if name not in presets():
        raise PreflightFailed(f"student {_label(start)} has sizes of its own: it must be of a preset")
    return name


def _teachers(settings: Settings, request: DistillRequest) -> tuple[Teacher, Teacher]:
    teacher = _teacher(settings, request.teacher)
    if request.unlabelled_teacher in ("", request.teacher):
        return teacher, teacher
    return teacher, _teacher(settings, request.unlabelled_teacher)


def _teacher(settings: Settings, text: str) -> Teacher:
    spec = parse_teacher(text)
    chosen = choose_model(settings, spec.model)
    return teacher_of(chosen.model_file, TeacherSpec(_label(chosen), spec.views))


def _refuse_itself(start: ChosenModel | None, teacher: Teacher) -> None:
    if start is not None and teacher.digest == start.model_file.digest and teacher.views == 1:
        raise PreflightFailed(
            f"teacher {teacher.name} is the student itself: take self-ensemble:{teacher.name}, or another"
        )


def _material(settings: Settings, request: DistillRequest) -> tuple[Path, Sequence[Photograph]]:
    """Find the training folder and the unlabelled photographs: those that are named, or else the samples."""
    data, unlabelled = request.data or settings.training, request.unlabelled or None
    if not data and request.preset == "smoke":
        folder, rainy = make_training_samples(settings.workspace)
        return folder, _unlabelled(settings, unlabelled or str(rainy))
    if not data:
        raise PreflightFailed(
            f"no data for preset {request.preset}: give --data or set DERAIN_TRAINING; it is a folder with clean/"
            " and streaks/ or garg/"
        )
    return Path(absolute_url(data)), _unlabelled(settings, unlabelled) if unlabelled else ()


def _unlabelled(settings: Settings, url: str) -> Sequence[Photograph]:
    try:
        return unlabelled_photographs(settings, url)
    except FileNotFoundError as error:
        raise PreflightFailed(str(error)) from error


def _looked_at(folder: Path) -> TrainingFolder:
    """Read a training folder as the training will."""
    try:
        train, held_out = (load_training_data(folder, held_out=each) for each in (False, True))
    except (FileNotFoundError, UnidentifiedImageError, OSError, KeyError, ValueError) as error:
        named = str(error) if str(folder) in str(error) else f"{folder}: {error}"
        raise PreflightFailed(f"data {named}") from error
    names = photographs_of(folder, held_out=True)
    split = sha256("\n".join(names).encode()).hexdigest()
    return TrainingFolder(
        folder, len(train.photographs), len(held_out.photographs), _folder_digest(folder), split
    )


def _folder_digest(folder: Path) -> str:
    """Return the SHA-256 over names and contents of all that a training reads."""
    digest = sha256()
    parts = [folder / name for name in ("clean", "garg", "streaks")]
    files = sorted(path for part in parts for path in part.glob("*.*"))
    for path in [*files, folder / "streaks.csv"]:
        if path.is_file():
            content = sha256(path.read_bytes()).hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


def _digest(
    config: TrainConfig, teaching: Teaching, folder: TrainingFolder, start: ChosenModel | None
) -> str:
    asked = {
        "train": asdict(config),
        "distill": asdict(teaching.config),
        "lineage": asdict(teaching.lineage),
        "data": folder.digest,
        "start": None if start is None else start.model_file.digest,
    }
    return sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def _label(chosen: ChosenModel) -> str:
    """Name a model for people: `derain-student/3`, or the name of its file."""
    return chosen.name if chosen.version == "file" else f"{chosen.name}/{chosen.version}"

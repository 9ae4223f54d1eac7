"""Distil a student from a teacher: on labelled rain like `models.train`, and on unlabelled photographs.

    python -m models.distill --preset student-small --unlabelled PHOTOGRAPHS --data DATA --out checkpoints/distilled

By default the teacher is the shipped AFR-Net if it leads the shipped student by more than the student's
self-ensemble does, and that self-ensemble otherwise. `--teacher` takes a weights file of any network, or
`self-ensemble:FILE` (averaged over four views, without features). All options of `python -m models.train` are
available too. After an interruption, the same command resumes, bit for bit on a CPU.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from models.errors import ModelError
from models.evaluation.validation import REVISION, render_validation, validate
from models.images import RgbImage
from models.modelfile import build, read_model_file
from models.networks.architectures import architecture_of, build_network, preset
from models.rain.banks import contents_of, load_training_data
from models.shipped import WEIGHTS
from models.training.command import add_fields, fields_of, launched, options, train_config
from models.training.config import TrainConfig
from models.training.distill.default_teacher import default_teacher
from models.training.distill.objective import Distillation, DistillConfig, Lineage
from models.training.distill.teacher_targets import (
    cache_teacher_targets,
    digest_of,
    read_photographs,
)
from models.training.distill.teachers import NEEDED_LEAD, Teacher, read_teacher
from models.training.loop import fit
from models.training.recorders import Recorder
from models.training.same_settings import refuse_unfit_start
from models.training.state import State

LEAD_PHOTOGRAPHS = 4
"""Number of held-out photographs per kind of rain on which a teacher is measured."""


@dataclass(frozen=True, slots=True)
class Teaching:
    """The teachers of a distillation, and its unlabelled photographs.

    Parameters
    ----------
    config : DistillConfig
        Weights of the terms.
    teacher : Teacher
        Teaches on labelled crops.
    unlabelled_teacher : Teacher
        Derains the unlabelled photographs; it may be the same.
    photographs : sequence of ndarray
        Unlabelled, uint8 (H, W, 3) each; there may be none.
    """

    config: DistillConfig
    teacher: Teacher
    unlabelled_teacher: Teacher
    photographs: Sequence[RgbImage] = ()

    @property
    def lineage(self) -> Lineage:
        """Names and digests of the teachers and the unlabelled photographs."""
        teacher, other = self.teacher, self.unlabelled_teacher
        if not self.photographs:
            return Lineage(teacher.name, teacher.digest)
        digest = digest_of(self.photographs)
        return Lineage(teacher.name, teacher.digest, other.name, other.digest, len(self.photographs), digest)

    def objective(self, fabric: Fabric, config: TrainConfig, memory: Path) -> Distillation:
        """Build the objective of the training; write the teacher targets to `memory`, or read them from there."""
        targets = None
        if self.photographs:
            targets = cache_teacher_targets(
                fabric, self.unlabelled_teacher.to(fabric.device), self.photographs, memory
            )
        student = build_network(preset(config.preset)).feature_widths
        process = (fabric.global_rank, fabric.world_size)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            return Distillation(
                self.config, self.lineage, student, self.teacher.to(fabric.device), targets, process
            )


@dataclass(frozen=True, slots=True)
class Lead:
    """Overall validation scores of a teacher and a student, in dB."""

    teacher: float
    student: float

    @property
    def suffices(self) -> bool:
        """Whether the student can learn enough from the teacher."""
        return self.teacher - self.student >= NEEDED_LEAD

    def __str__(self) -> str:
        lead = f"teacher {self.teacher:.2f} dB, student {self.student:.2f} dB"
        if self.suffices:
            return lead
        return f"{lead}: a teacher should lead by {NEEDED_LEAD} dB; expect little gain from this one"


def distil(
    fabric: Fabric,
    config: TrainConfig,
    teaching: Teaching,
    data: Path,
    out: Path,
    recorders: Sequence[Recorder] = (),
) -> State:
    """Train a student to the last step, from the last checkpoint if there is one; see `models.training.loop.fit`.

    Raises
    ------
    ValueError
        If the network to train is not a student.
    """
    require_student(config)
    return fit(fabric, config, data, out, recorders, teaching.objective(fabric, config, out))


def require_student(config: TrainConfig) -> None:
    """Check that the network to train is a student.

    Raises
    ------
    ValueError
        If it is not; the message names the preset.
    """
    kind = architecture_of(preset(config.preset)).name
    if kind != "student":
        raise ValueError(f"preset {config.preset} is of architecture {kind}: only students are distilled")


def measure_lead(fabric: Fabric, teacher: Teacher, student: Path | None, data: Path, memory: Path) -> Lead:
    """Compare a teacher with a student on held-out photographs, or read an earlier result.

    Parameters
    ----------
    fabric : Fabric
        Provides precision and device.
    teacher : Teacher
        The teacher.
    student : Path, optional
        Weights file; by default, the student is a network that changes nothing.
    data : Path
        Folder that `models.rain.banks.load_training_data` reads.
    memory : Path
        File that stores the result with the digests of both; for another pair or other data, it is measured anew.
    """
    student_file = read_model_file(student) if student else None
    compared = {
        "teacher": teacher.digest,
        "views": teacher.views,
        "student": student_file.digest if student_file else "",
        "data": contents_of(data),
        "validation": REVISION,
    }
    known = _remembered(memory)
    if known.get("compared") == compared:
        return Lead(**known["lead"])
    held_out = load_training_data(data, held_out=True).to(fabric.device)
    pairs = render_validation(held_out, LEAD_PHOTOGRAPHS)
    network = build(student_file) if student_file else build_network(preset("student-tiny")).eval()
    network.to(fabric.device)
    with fabric.autocast():
        derain = teacher.to(fabric.device).derain
        lead = Lead(validate(derain, pairs).overall, validate(network, pairs).overall)
    if fabric.is_global_zero:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps({"compared": compared, "lead": asdict(lead)}))
    return lead


def _remembered(memory: Path) -> dict[str, Any]:
    """Read an earlier result; one that a kill left unfinished counts as none."""
    try:
        return dict(json.loads(memory.read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def incumbent(config: TrainConfig) -> Path | None:
    """Return the weights that a training starts from, or else the shipped ones of its size, or else None."""
    path = Path(config.init) if config.init else WEIGHTS / f"{config.preset}.safetensors"
    return path if path.exists() else None


def main() -> None:
    """Parse the command line and distil."""
    arguments = _parse()
    try:
        config = train_config(arguments)
        require_student(config)
        teacher = read_teacher(arguments.teacher)
        other = read_teacher(arguments.unlabelled_teacher) if arguments.unlabelled_teacher else teacher
        photographs = read_photographs(arguments.unlabelled) if arguments.unlabelled else ()
        teaching = Teaching(fields_of(DistillConfig(), arguments), teacher, other, photographs)
        facts = {"distill": asdict(teaching.config), "lineage": asdict(teaching.lineage)}
        refuse_unfit_start(config, arguments.out / "checkpoint.pt", facts)
        fabric = launched(arguments, config.precision)
        fabric.print("measuring the lead of the teacher on validation", flush=True)
        lead = measure_lead(fabric, teacher, incumbent(config), arguments.data, arguments.out / "lead.json")
        fabric.print(lead)
        distil(fabric, config, teaching, arguments.data, arguments.out)
    except (ValueError, OSError, ModelError) as error:
        raise SystemExit(str(error)) from error


def _parse() -> argparse.Namespace:
    parser = options(__doc__, "python -m models.distill")
    parser.add_argument(
        "--teacher",
        default=str(default_teacher()),
        help="weights file, or self-ensemble:FILE; default: the shipped AFR-Net if it leads, else"
        " the self-ensemble of the shipped student",
    )
    parser.add_argument("--unlabelled", type=Path, help="folder of rainy photographs; default: none")
    parser.add_argument("--unlabelled-teacher", help="teacher of those photographs; default: the teacher")
    weights = parser.add_argument_group("weights of the terms")
    add_fields(weights, DistillConfig())
    return parser.parse_args()


if __name__ == "__main__":
    main()

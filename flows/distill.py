"""Distil a student from its teachers, and register it as the challenger.

python -m flows.distill --preset smoke
python -m flows.distill --preset small --data DATA --unlabelled s3://photos/rainy
prefect deployment run distill
"""

from __future__ import annotations

from typing import Annotated, Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.command_line import run
from flows.outcomes import failed
from infra.settings import read_settings
from tasks.refusals import REFUSALS
from tasks.training.distillation import distil_student
from tasks.training.distillation_request import DistillRequest, prepare_distillation


@flow(name="distill")
def distill(
    preset: str = "smoke",
    student: str = "",
    teacher: str = "self-ensemble:models:/derain-student@champion",
    unlabelled_teacher: str = "",
    data: str = "",
    unlabelled: str = "",
    steps: Annotated[int, Field(ge=1)] | None = None,
    attention: bool = False,
    seed: int = 1,
) -> State[Any]:
    """Train a student on labelled rain and on what its teachers make of unlabelled photographs.

    The same request goes on where it was killed. Curves, pictures and lineage become a run of the experiment
    distillation in MLflow, the best weights the challenger of derain-student.

    Args:
        preset: smoke (minutes, on generated data unless there is some), small or base.
        student: What the student begins from, champion or a model named as a teacher is: it goes on at a low
            rate, and only as far as it forgets little. Default: new weights.
        teacher: Registered model (models:/name@alias or models:/name/version) or path of a weights file;
            self-ensemble:MODEL averages it over four views.
        unlabelled_teacher: Who derains the unlabelled photographs, named in the same way. Default: the teacher.
        data: Folder with clean/ photographs and streaks/ or garg/ layers. Default: DERAIN_TRAINING.
        unlabelled: Folder or bucket prefix of rainy photographs, or pool: what flows.ingest gathered.
            Default: none.
        steps: How many steps. Default: those of the preset.
        attention: Match the teacher's attention maps too.
        seed: Of new weights, rain and crops.
    """
    request = DistillRequest(
        preset, student, teacher, unlabelled_teacher, data, unlabelled, steps, attention, seed
    )
    try:
        settings = read_settings()
        distilled = distil_student(settings, prepare_distillation(settings, request), str(flow_run.id))
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=str(distilled), data=distilled)


if __name__ == "__main__":
    run(distill)

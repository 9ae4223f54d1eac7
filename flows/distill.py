"""The flow distill, which distils a student from its teachers and registers it as the challenger.

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

from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from infra.settings import Settings
from tasks.refusals import REFUSALS
from tasks.retraining.record import UNSTABLE
from tasks.training.distillation import distil_student
from tasks.training.distillation_request import DistillRequest, prepare_distillation, refuse_at_once
from tasks.training.tracked import Unstable


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
    """Train a student on labelled rain and on its teachers' outputs for unlabelled photographs.

    The same request resumes an interrupted run. Curves, pictures and lineage become a run of the experiment
    distillation in MLflow; the best weights become the challenger of derain-student.

    Args:
        preset: smoke (minutes, on generated data unless other data is given), small or base.
        student: Start of the student: champion, or a model named like a teacher. It trains on at a low rate, and
            only as far as it forgets little. Default: new weights.
        teacher: Registered model (models:/name@alias or models:/name/version) or path of a weights file;
            self-ensemble:MODEL averages it over four views.
        unlabelled_teacher: Network that derains the unlabelled photographs, named in the same way. Default: the
            teacher.
        data: Folder with clean/ photographs and streaks/ or garg/ layers. Default: DERAIN_TRAINING.
        unlabelled: Folder or bucket prefix of rainy photographs, or pool for the crops of flows.ingest. Default:
            none.
        steps: Number of training steps. Default: that of the preset.
        attention: Also match the teacher's attention maps.
        seed: Seed of new weights, rain and crops.
    """
    request = DistillRequest(
        preset, student, teacher, unlabelled_teacher, data, unlabelled, steps, attention, seed
    )
    try:
        settings = flow_settings()
        distilled = distil_student(settings, prepare_distillation(settings, request), str(flow_run.id))
    except Unstable as error:
        return failed(str(error), name=UNSTABLE)
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=str(distilled), data=distilled)


def refuse(settings: Settings, **parameters: Any) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    refuse_at_once(settings, DistillRequest(**parameters))


if __name__ == "__main__":
    run(distill, refuse)

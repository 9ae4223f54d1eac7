"""The flow retrain, which learns from the pool and promotes the resulting student if it is better.

python -m flows.retrain --preset smoke
prefect deployment run retrain
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.curate import curate
from flows.distill import distill
from flows.evaluate import evaluate
from flows.finetune import finetune
from flows.promote import promote
from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from infra.settings import Settings
from tasks.promotion.transaction import promoted_since, promotion_line
from tasks.refusals import REFUSALS
from tasks.retraining.presets import sizes_of
from tasks.retraining.record import Retraining, open_retraining
from tasks.retraining.request import NothingNew, RetrainRequest, prepare_retraining, refuse_at_once
from tasks.training.unlabelled import POOL


@flow(name="retrain")
def retrain(
    preset: str = "smoke", data: str = "", decisions: str | None = None, anew: bool = False
) -> State[Any]:
    """Curate the pool, fine-tune a teacher on it, distil a student, evaluate it, and promote it if it is better.

    Each step is a separate flow. An interrupted retraining resumes; completed steps are skipped. If the pool is
    empty, shows no rain, or has not changed since the last retraining, the run completes without training. If the
    fine-tuning is unstable, the student learns without that teacher.

    Args:
        preset: smoke (shows in minutes that everything works), cpu (hours on a few cores) or gpu.
        data: Folder with clean/ photographs and streaks/ or garg/ layers. Default: DERAIN_TRAINING or, for smoke,
            generated photographs.
        decisions: File of decisions (JSON or CSV, a path or URL) that a review page saved.
        anew: Start another retraining, from another seed, even if one is incomplete, or if there is nothing new.
    """
    try:
        settings = flow_settings()
        request = prepare_retraining(settings, RetrainRequest(preset, data, decisions, anew))
        with open_retraining(settings, request, str(flow_run.id)) as retraining:
            _run_steps(settings, request, retraining)
            return Completed(message=retraining.close())
    except NothingNew as nothing:
        return Completed(message=str(nothing))
    except REFUSALS as error:
        return failed(str(error))


def _run_steps(settings: Settings, request: RetrainRequest, retraining: Retraining) -> None:
    run_step, sizes, data = retraining.run_step, sizes_of(request.preset), request.data
    seed = retraining.record.seed
    run_step("curate", lambda: curate(decisions=request.decisions, limit=sizes.new_crops, return_state=True))
    teacher = run_step(
        "finetune",
        lambda: finetune(
            preset=sizes.finetune,
            model=sizes.teacher,
            data=data,
            unlabelled=POOL,
            seed=seed,
            return_state=True,
        ),
        is_optional=True,
    )
    student = run_step(
        "distill",
        lambda: distill(
            preset=sizes.distill,
            student="champion",
            unlabelled_teacher=teacher.model,
            data=data,
            unlabelled=POOL,
            steps=sizes.distill_steps,
            seed=seed,
            return_state=True,
        ),
    )
    run_step("evaluate", lambda: evaluate(challenger=student.model, return_state=True))
    run_step("promote", lambda: _promoted(settings, student.model, retraining))


def _promoted(settings: Settings, challenger: str, retraining: Retraining) -> State[Any]:
    """Promote a challenger, unless a killed run of this retraining did: the champion itself would be refused."""
    try:
        done = promoted_since(settings, challenger, retraining.record.begun, str(flow_run.id))
    except REFUSALS as error:
        return failed(str(error))
    if done is not None:
        return Completed(message=promotion_line(done), data=done)
    return promote(challenger=challenger, return_state=True)


def refuse(settings: Settings, **parameters: Any) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    with suppress(NothingNew):  # the run completes, and says so
        refuse_at_once(settings, RetrainRequest(**parameters))


if __name__ == "__main__":
    run(retrain, refuse)

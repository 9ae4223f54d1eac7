"""The flow finetune, which fine-tunes a network on unlabelled photographs of real rain (Semi-DRDNet).

python -m flows.finetune --preset smoke
python -m flows.finetune --preset slim --data DATA --unlabelled s3://photos/rainy
prefect deployment run finetune
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
from models.training.semi.config import SemiConfig
from tasks.refusals import REFUSALS
from tasks.retraining.record import NO_RAIN, UNSTABLE
from tasks.training.finetuning import finetune_on_rain
from tasks.training.finetuning_request import (
    FinetuneRequest,
    NoRealRain,
    prepare_finetuning,
    refuse_at_once,
    semi_config,
)
from tasks.training.tracked import Unstable

Weight = Annotated[float, Field(ge=0)]
TERMS = SemiConfig()


@flow(name="finetune")
def finetune(
    preset: str = "smoke",
    model: str = "",
    data: str = "",
    unlabelled: str = "",
    steps: Annotated[int, Field(ge=1)] | None = None,
    seed: int = 1,
    rerain: Weight = TERMS.rerain,
    temporal: Weight = TERMS.temporal,
    streak_contrast: Weight = TERMS.streak_contrast,
    background_contrast: Weight = TERMS.background_contrast,
) -> State[Any]:
    """Train on labelled rain, and on the streaks in unlabelled photographs.

    The same request resumes an interrupted run. The curve is a run of the experiment finetuning in MLflow. Weights
    that are better on validation than the initial ones become the challenger of semi-drdnet. If the network
    collapses, the run fails.

    Args:
        preset: smoke (minutes, on generated data unless there is some), slim (a CPU), mid or paper (a GPU).
        model: Initial weights: a registered model (models:/name@alias or models:/name/version) or the path of a
            weights file. Default: the DRD-Net that ships with the package.
        data: Folder with clean/ photographs and streaks/ or garg/ layers. Default: DERAIN_TRAINING.
        unlabelled: Folder or bucket prefix of rainy photographs, or pool for the crops of flows.ingest.
        steps: Number of training steps. Default: that of the preset.
        seed: Seed of rain and crops.
        rerain: Weight of clean photographs under real streaks.
        temporal: Weight of the backgrounds of fixed cameras, if the pool has any.
        streak_contrast: Contrast of streaks, as a share of re-rain's gradient. Tried with 0.1.
        background_contrast: Contrast of backgrounds, with a rain critic, as a share of re-rain's gradient. Tried
            with 0.1.
    """
    try:
        settings = flow_settings()
        request = FinetuneRequest(preset, model, data, unlabelled, steps, seed)
        semi = semi_config(
            rerain=rerain,
            temporal=temporal,
            streak_contrast=streak_contrast,
            background_contrast=background_contrast,
        )
        tuned = finetune_on_rain(settings, prepare_finetuning(settings, request, semi), str(flow_run.id))
    except NoRealRain as error:
        return failed(str(error), name=NO_RAIN)
    except Unstable as error:
        return failed(str(error), name=UNSTABLE)
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=str(tuned), data=tuned)


def refuse(
    settings: Settings,
    preset: str,
    model: str,
    data: str,
    unlabelled: str,
    steps: int | None,
    seed: int,
    **weights: float,
) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    semi_config(**weights)
    refuse_at_once(settings, FinetuneRequest(preset, model, data, unlabelled, steps, seed))


if __name__ == "__main__":
    run(finetune, refuse)

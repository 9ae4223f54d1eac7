"""Fine-tune a derainer on unlabelled photographs of real rain (Semi-DRDNet).

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

from flows.command_line import run
from flows.outcomes import failed
from infra.settings import read_settings
from models.training.semi.config import SemiConfig
from tasks.refusals import REFUSALS
from tasks.training.finetuning import finetune_on_rain
from tasks.training.finetuning_request import FinetuneRequest, prepare_finetuning

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
    pseudo_label: Weight = TERMS.pseudo_label,
    anchor: Weight = TERMS.anchor,
    rain_on_rain: Weight = TERMS.rain_on_rain,
    mean_teacher: Weight = TERMS.mean_teacher,
    streak_contrast: Weight = TERMS.streak_contrast,
    background_contrast: Weight = TERMS.background_contrast,
) -> State[Any]:
    """Train on labelled rain, and on the streaks that are in unlabelled photographs.

    The same request goes on where it was killed. The curve is a run of the experiment finetuning in MLflow; weights
    that are better on validation than those it started from become the challenger of semi-drdnet. A network that
    collapses ends the run as Failed.

    Args:
        preset: smoke (minutes, on generated data unless there is some), slim (a CPU), mid or paper (a GPU).
        model: What to start from, a registered model (models:/name@alias or models:/name/version) or path of a
            weights file. Default: the DRD-Net that comes with the package.
        data: Folder with clean/ photographs and streaks/ or garg/ layers. Default: DERAIN_TRAINING.
        unlabelled: Folder or bucket prefix of rainy photographs, or pool: what flows.ingest gathered.
        steps: How many steps. Default: those of the preset.
        seed: Of rain and crops.
        rerain: Weight of clean photographs under real streaks.
        temporal: Weight of the backgrounds of cameras that stand still, where the pool has some.
        pseudo_label: Weight of other accepted pseudo-labels of the pool. Tried with 0.5.
        anchor: Weight of leaving photographs alone where no rain was found. Tried with 0.1.
        rain_on_rain: Weight of rain added to rain, with a mean teacher's target. Tried with 0.2.
        mean_teacher: Weight of a mean teacher's own targets. Tried with 0.2.
        streak_contrast: Weight of the contrast of streaks. Tried with 0.01.
        background_contrast: Weight of the contrast of backgrounds, with a rain critic. Tried with 0.01.
    """
    try:
        settings = read_settings()
        semi = SemiConfig(
            rerain=rerain,
            temporal=temporal,
            pseudo_label=pseudo_label,
            anchor=anchor,
            rain_on_rain=rain_on_rain,
            mean_teacher=mean_teacher,
            streak_contrast=streak_contrast,
            background_contrast=background_contrast,
        )
        request = FinetuneRequest(preset, model, data, unlabelled, steps, seed)
        tuned = finetune_on_rain(settings, prepare_finetuning(settings, request, semi), str(flow_run.id))
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=str(tuned), data=tuned)


if __name__ == "__main__":
    run(finetune)

"""The flow evaluate, which compares two networks on the validation manifest and promotes nothing.

python -m flows.evaluate --challenger checkpoints/student-base/student-base.safetensors
prefect deployment run evaluate
"""

from __future__ import annotations

from typing import Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed

from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from infra.settings import Settings
from tasks.promotion.comparison import compare, refuse_comparison
from tasks.refusals import REFUSALS


@flow(name="evaluate")
def evaluate(
    challenger: str = "models:/derain-student@challenger",
    champion: str = "models:/derain-student@champion",
    training: str | None = None,
) -> State[Any]:
    """Measure two networks on the photographs of the validation manifest.

    The figures of each photograph become a Parquet table in the workspace. A page next to it shows champion and
    challenger side by side, the worst photographs first. Both, with means and intervals, are also logged as a run
    of the experiment `evaluation` in MLflow.

    Args:
        challenger: Registered model (models:/name@alias or models:/name/version) or path of a weights file.
        champion: Network to compare it with, named in the same way.
        training: Folder or manifest of the photographs that the challenger was trained on. Nothing is evaluated if
            one of them is also in the validation manifest, even slightly cropped, scaled or stored differently.
    """
    try:
        line = compare(flow_settings(), champion, challenger, str(flow_run.id), training)
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=line)


def refuse(settings: Settings, challenger: str, champion: str, training: str | None) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    refuse_comparison(settings, champion, challenger, training)


if __name__ == "__main__":
    run(evaluate, refuse)

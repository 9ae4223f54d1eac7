"""The flow promote, which compares a challenger with the champion and makes it champion if it is better.

python -m flows.promote --challenger checkpoints/student-base/student-base.safetensors
prefect deployment run promote
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
from infra.tracking.registry import CHAMPION_URL
from tasks.promotion.comparison import refuse_comparison
from tasks.promotion.transaction import promote_challenger, promotion_line
from tasks.refusals import REFUSALS


@flow(name="promote")
def promote(challenger: str = "models:/derain-student@challenger", training: str | None = None) -> State[Any]:
    """Make a challenger champion if it is better than the champion and stays within the limits on losses.

    All figures, limits and reasons are recorded in the ledger, whatever the decision. If the challenger is refused,
    the run fails with the reasons.

    Args:
        challenger: Registered model (models:/derain-student@alias or models:/derain-student/version), or path of
            a weights file, which is registered as the challenger.
        training: Folder or manifest of the photographs that the challenger was trained on. Nothing is decided if
            one of them is also in the validation manifest, even slightly cropped, scaled or stored differently.
    """
    try:
        row = promote_challenger(flow_settings(), challenger, str(flow_run.id), training)
    except REFUSALS as error:
        return failed(str(error))
    if row.decision == "refused":
        return failed(promotion_line(row), name="Refused")
    return Completed(message=promotion_line(row), data=row)


def refuse(settings: Settings, challenger: str, training: str | None) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    refuse_comparison(settings, CHAMPION_URL, challenger, training)


if __name__ == "__main__":
    run(promote, refuse)

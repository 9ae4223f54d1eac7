"""The flow curate, which decides which pseudo-labels of the pool are good enough for training.

python -m flows.curate
python -m flows.curate --decisions decisions.json
prefect deployment run curate
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
from tasks.curation.coordinator import curate_pool
from tasks.curation.planning import CurationRequest, refuse_at_once
from tasks.refusals import REFUSALS


@flow(name="curate")
def curate(
    teacher: str = "models:/derain-student@champion",
    independent: list[str] | None = None,
    labelled: str | None = None,
    decisions: str | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
) -> State[Any]:
    """Derain the pool's training crops, score the results, and accept those that can be trusted.

    Every decision becomes a row of the ledger; accepted pseudo-labels and their confidence maps are stored in the
    workspace. Crops that the same networks have already judged are skipped. The review page shows the most doubtful
    crops.

    Args:
        teacher: Network that makes the pseudo-labels: registered model or path of a weights file.
        independent: Networks that must find the same rain. Default: two that ship.
        labelled: Folder of clean photographs like those in the training data. Default: a few that scikit-image
            ships.
        decisions: File of decisions (JSON or CSV, a path or URL) that the review page of an earlier run saved.
        limit: Judge at most this many new crops, spread evenly; the next run continues with the others.
    """
    chosen = None if independent is None else tuple(independent)
    request = CurationRequest(str(flow_run.id), teacher, chosen, labelled, decisions, limit)
    try:
        summary = curate_pool(flow_settings(), request)
    except REFUSALS as error:
        return failed(str(error))
    if summary.pending:
        return failed(summary.line())
    return Completed(message=summary.line(), data=summary)


def refuse(settings: Settings, independent: list[str] | None, **parameters: Any) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    chosen = None if independent is None else tuple(independent)
    refuse_at_once(settings, CurationRequest("", independent=chosen, **parameters))


if __name__ == "__main__":
    run(curate, refuse)

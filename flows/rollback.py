"""The flow rollback, which returns to the previous champion.

python -m flows.rollback
python -m flows.rollback --to 3
prefect deployment run rollback
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
from infra.storage.lease import check_workspace
from tasks.promotion.transaction import promotion_line, require_version, roll_back
from tasks.refusals import REFUSALS


@flow(name="rollback")
def rollback(to: Annotated[int, Field(ge=1)] | None = None) -> State[Any]:
    """Make the previous version champion again, immediately and without a comparison.

    The ledger keeps both moves. Images that were derained in between stay as they are until derain-batch runs with
    `--redo stale`.

    Args:
        to: Number of the version that becomes champion. Default: the one before the current champion.
    """
    try:
        row = roll_back(flow_settings(), to, str(flow_run.id))
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=promotion_line(row), data=row)


def refuse(settings: Settings, to: int | None) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    check_workspace(settings.workspace)
    if to is not None:
        require_version(settings, to)


if __name__ == "__main__":
    run(rollback, refuse)

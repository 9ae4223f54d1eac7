"""Go back to the champion before.

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

from flows.command_line import run
from flows.outcomes import failed
from infra.settings import read_settings
from tasks.promotion.transaction import promotion_line, roll_back
from tasks.refusals import REFUSALS


@flow(name="rollback")
def rollback(to: Annotated[int, Field(ge=1)] | None = None) -> State[Any]:
    """Make the previous version champion again, at once and without a comparison.

    The ledger keeps both moves. What was derained meanwhile stays as it is, until derain-batch is asked for
    `--redo stale`.

    Args:
        to: Number of the version that becomes champion. Default: the one before the champion of today.
    """
    try:
        row = roll_back(read_settings(), to, str(flow_run.id))
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=promotion_line(row), data=row)


if __name__ == "__main__":
    run(rollback)

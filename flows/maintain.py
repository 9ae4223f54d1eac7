"""The flow maintain, which removes what the retention settings no longer keep.

python -m flows.maintain
prefect deployment run maintain
"""

from __future__ import annotations

from typing import Any

from prefect import State, flow
from prefect.states import Completed

from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from tasks.maintenance import maintain_workspace
from tasks.refusals import REFUSALS


@flow(name="maintain")
def maintain() -> State[Any]:
    """Remove reports, plans, evaluations, leases and pool versions older than DERAIN_RETENTION__... allows.

    By default, everything is kept. Images, rows, crops and models are never removed.
    """
    try:
        removed = maintain_workspace(flow_settings())
    except REFUSALS as error:
        return failed(str(error))
    return Completed(message=removed.line(), data=removed)


if __name__ == "__main__":
    run(maintain)

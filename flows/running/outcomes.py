"""The final state of a flow that fails for an expected reason: `failed`."""

from __future__ import annotations

import logging
from typing import Any

from prefect import State
from prefect.exceptions import FailedRun
from prefect.states import Failed

_ENGINE_LOGS = ("prefect.flow_runs", "prefect.engine")


def failed(message: str, name: str = "Failed") -> State[Any]:
    """Return the state of a run that failed for an expected reason.

    In the process of a Prefect worker, the engine raises such a state and would log it twice as an unexpected
    exception, with tracebacks, although the line "Finished in state" already contains the message.

    Parameters
    ----------
    message : str
        One line that names what is wrong and the way out.
    name : str
        Name of the state.
    """
    for log in _ENGINE_LOGS:
        logging.getLogger(log).addFilter(_is_unexpected)
    return Failed(name=name, message=message)


def _is_unexpected(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], FailedRun))

"""The final state of a watched flow is known even if Prefect's server fails."""

from __future__ import annotations

from typing import Any

import pytest
from prefect import State, flow
from prefect.states import Completed

from flows.curate import curate
from flows.derain_batch import derain_batch
from flows.ingest import ingest
from flows.running.watched_flow import WatchedFlow


@flow
def done() -> State[Any]:
    return Completed(message="2 derained")


@flow
def interrupted() -> State[Any]:
    raise KeyboardInterrupt


@pytest.mark.parametrize("watched", [derain_batch, ingest, curate], ids=lambda each: each.name)
def test_prefect_knows_the_types_of_its_parameters(watched: Any) -> None:
    validated = WatchedFlow(watched).watched().validate_parameters({"limit": 3})
    assert validated == watched.validate_parameters({"limit": 3})


def test_the_returned_state_is_remembered() -> None:
    watched = WatchedFlow(done)
    assert watched.watched().fn().message == "2 derained"
    assert watched.state is not None
    assert watched.state.is_completed()


def test_ctrl_c_is_cancelled() -> None:
    watched = WatchedFlow(interrupted)
    assert watched.watched().fn().is_cancelled()

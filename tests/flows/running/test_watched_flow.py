"""A flow whose end is known, whatever becomes of Prefect's server."""

from __future__ import annotations

from typing import Any, NoReturn

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
    validated = WatchedFlow(watched, None).watched().validate_parameters({"limit": 3})
    assert validated == watched.validate_parameters({"limit": 3})


def test_what_the_flow_returned_is_remembered() -> None:
    watched = WatchedFlow(done, None)
    assert watched.watched().fn().message == "2 derained"
    assert watched.state is not None
    assert watched.state.is_completed()


def test_ctrl_c_is_cancelled_where_a_server_can_record_it() -> None:
    watched = WatchedFlow(interrupted, None)
    assert watched.watched().fn().is_cancelled()


def test_ctrl_c_ends_at_once_where_the_server_got_it_too() -> None:
    class Ended(Exception):
        pass

    def end() -> NoReturn:
        raise Ended

    with pytest.raises(Ended):
        WatchedFlow(interrupted, end).watched().fn()

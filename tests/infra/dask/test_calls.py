"""Calls of our functions on workers, and their results."""

from __future__ import annotations

import operator
from collections.abc import Iterator

import pytest
from distributed import Client

from infra.dask.calls import results, submit
from infra.dask.cluster import connect, places
from infra.settings import Settings

pytestmark = pytest.mark.slow
PATIENCE = 180


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with connect(Settings(workers=2, resources="GPU=2 MEM=0.5", _env_file=None)) as connected:
        yield connected


def test_results_of_many_calls_are_fetched_without_those_that_failed(client: Client) -> None:
    calls = [submit(client, operator.truediv, 6, divisor) for divisor in (1, 2, 0, 3)]
    assert isinstance(calls[2].exception(timeout=PATIENCE), ZeroDivisionError)
    for call in calls:
        call.exception(timeout=PATIENCE)
    assert results(client, calls, PATIENCE) == {calls[0]: 6.0, calls[1]: 3.0, calls[3]: 2.0}
    with pytest.raises(ZeroDivisionError):
        calls[2].result(timeout=PATIENCE)


def test_no_results_of_no_calls(client: Client) -> None:
    assert results(client, [], PATIENCE) == {}


@pytest.mark.parametrize(
    ("resources", "number"),
    [({}, 2), ({"GPU": 2}, 2), ({"GPU": 1}, 2), ({"GPU": 3}, 0), ({"GPU": 1, "MEM": 1}, 0), ({"FPGA": 1}, 0)],
)
def test_places_are_as_many_as_threads_and_resources_allow(
    client: Client, resources: dict[str, float], number: int
) -> None:
    assert places(client, resources, PATIENCE) == number


def test_workers_here_offer_what_shards_take(client: Client) -> None:
    call = submit(client, operator.add, 1, 2, resources={"GPU": 2, "MEM": 0.5})
    assert call.result(timeout=PATIENCE) == 3

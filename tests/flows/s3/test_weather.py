"""derain-batch between buckets while a tenth of all requests fail: done or pending, never a false reject."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.refusals import REFUSALS
from tests.support.servers.ceph import Gateway
from tests.support.servers.faulty_proxy import FaultyProxy, Weather
from tests.support.worlds.buckets import Rain

pytestmark = [pytest.mark.ceph, pytest.mark.slow]
RUNS = 5


@pytest.fixture
def proxy(ceph: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(ceph.endpoint, Weather(share=0.1, seed=1)) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


def test_a_tenth_of_the_requests_fails(rain: Rain, proxy: FaultyProxy) -> None:
    states = [_run(rain) for _ in range(RUNS)]
    assert states[-1] == "Completed"
    assert proxy.struck()
    rain.assert_done()


def _run(rain: Rain) -> str:
    """Run once; assert that all outputs and rows are correct, whatever the result of the run."""
    try:
        summary = rain.derain()
    except REFUSALS as refused:
        return str(refused)
    assert summary.counts.rejected == 0
    assert (summary.state == "Failed") == (summary.counts.pending > 0)
    assert rain.outputs().items() <= rain.expected().items()
    return summary.state

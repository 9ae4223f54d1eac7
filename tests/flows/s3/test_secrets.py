"""S3 credentials never reach Prefect, the console, the report, the catalog or the workers' logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect import State

from flows.derain_batch import derain_batch
from tests.support.servers.ceph import Gateway
from tests.support.servers.dask_cluster import DaskCluster
from tests.support.servers.faulty_proxy import FaultyProxy
from tests.support.servers.prefect_server import PrefectServer
from tests.support.worlds.buckets import Rain, as_environment, contents

pytestmark = [pytest.mark.ceph, pytest.mark.slow]


def test_a_run_writes_no_secret_anywhere(
    rain: Rain,
    ceph: Gateway,
    proxy: FaultyProxy,
    server: PrefectServer,
    workers: DaskCluster,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    proxy.script("PUT *", ["500", None, "reset"])  # so that retries are logged
    done = run_flow(rain, monkeypatch)
    assert done.is_completed(), done.message
    assert f"report: {rain.settings.workspace}/reports/" in str(done.message)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-that-is-wrong")
    denied = run_flow(rain, monkeypatch)
    assert denied.is_failed()
    assert "access denied" in str(denied.message)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ceph.secret_key)
    written = {
        "messages": f"{done.message} {denied.message}".encode(),
        "console": "".join(capfd.readouterr()).encode(),
        "logs of the workers": workers.output().encode(),
        **text_at_prefect(server),
        **contents(rain.settings.workspace),
        **rain.outputs(),
    }
    assert len(written) > 40
    for secret in (ceph.secret_key, "a-secret-that-is-wrong"):
        assert [name for name, data in written.items() if secret.encode() in data] == []


def run_flow(rain: Rain, monkeypatch: pytest.MonkeyPatch) -> State:
    for name, value in as_environment(rain.settings).items():
        monkeypatch.setenv(name, value)
    where = {"source": rain.source, "destination": rain.destination, "model": str(rain.model)}
    return derain_batch(**where, return_state=True)


def text_at_prefect(server: PrefectServer) -> dict[str, bytes]:
    """Return the files of the server's database, with parameters, logs, states and artifacts of all runs."""
    home = Path(server.environment["PREFECT_HOME"])
    files = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    assert any(b"derain-batch" in data for data in files.values())
    return files

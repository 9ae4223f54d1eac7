"""A remote Dask scheduler: our code reaches its workers, and faults are reported in one line."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from distributed import Client

from infra.dask import cluster
from infra.dask.calls import submit
from infra.dask.cluster import PACKAGES, ROOT, ClusterUnreachable, connect
from infra.settings import Settings
from tasks.codec.keys import output_key
from tests.support.servers.ceph import free_ports
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=1) as running:
        yield running


def test_workers_run_the_code_they_are_sent_and_not_what_an_earlier_run_sent(
    elsewhere: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not knows_our_code(elsewhere)
    changed = {name: changed_code(tmp_path / name, f"another/{name}/") for name in ("first", "second")}
    answers = []
    for version in ("first", "second", "first"):
        monkeypatch.setattr(cluster, "ROOT", changed[version])
        with connect(Settings(cluster=elsewhere.address, _env_file=None)) as client:
            answers.append(submit(client, output_key, "a.jpg", None).result(timeout=180))
    assert answers == ["another/first/a.jpg", "another/second/a.jpg", "another/first/a.jpg"]
    assert not knows_our_code(elsewhere, of_workers=False)  # the scheduler does not need it


def test_loaded_code_stays_loaded_where_it_is_the_same(elsewhere: DaskCluster) -> None:
    identities = set()
    for _ in range(2):
        with connect(Settings(cluster=elsewhere.address, _env_file=None)) as client:
            submit(client, output_key, "a.jpg", None).exception(timeout=180)
            identities |= set(client.run(eval, "id(__import__('sys').modules['tasks.codec.keys'])").values())
    assert len(identities) == 1


def test_workers_here_write_no_tracebacks_of_dask(capfd: pytest.CaptureFixture[str]) -> None:
    lost = "__import__('logging').getLogger('distributed.worker').error('CommClosedError: lost heartbeat')"
    with connect(Settings(workers=1, _env_file=None)) as client:
        client.run(eval, lost)
    assert "CommClosedError" not in capfd.readouterr().err


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="later ones do not block")
def test_no_profiler_blocks_the_threads_of_workers(elsewhere: DaskCluster) -> None:
    for settings in (
        Settings(cluster=elsewhere.address, _env_file=None),
        Settings(workers=1, _env_file=None),
    ):
        with connect(settings) as client:
            timers = client.run(lambda dask_worker: list(dask_worker.periodic_callbacks))
        assert all("profile" not in name for names in timers.values() for name in names)


def test_a_scheduler_that_does_not_answer_is_reported() -> None:
    address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(ClusterUnreachable, match=f"^{address}: no Dask scheduler answers there") as caught:
        enter(address)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("greeting", [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], ids=["silent", "another protocol"])
def test_a_server_that_is_not_a_scheduler_is_reported(
    greeting: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2.0)
    with (
        server_that_says(greeting) as address,
        pytest.raises(ClusterUnreachable, match=f"^{address}: no Dask scheduler answers there") as caught,
    ):
        enter(address)
    assert "()" not in str(caught.value)


@pytest.mark.parametrize("address", ["scheduler", "tcp://", "http://127.0.0.1:1", "tcp://127.0.0.1:port"])
def test_an_invalid_address_is_reported(address: str) -> None:
    with pytest.raises(ClusterUnreachable, match="no Dask scheduler answers there"):
        enter(address)


def test_a_scheduler_without_workers_is_reported(tmp_path: Path) -> None:
    with dask_cluster(tmp_path / "dask", workers=0) as alone:
        reported = f"no workers; start some with 'dask worker {alone.address}'"
        with pytest.raises(ClusterUnreachable, match=reported):
            enter(alone.address)


def enter(address: str) -> None:
    with connect(Settings(cluster=address, _env_file=None)):
        raise AssertionError("connected")


@contextmanager
def server_that_says(greeting: bytes) -> Iterator[str]:
    """Serve a greeting to whoever connects, and then nothing; yield the address."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(greeting)
                while self.request.recv(4096):
                    pass

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def changed_code(root: Path, folder: str) -> Path:
    """Copy our packages, changed so that outputs go to another folder."""
    left_out = shutil.ignore_patterns("weights", "__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=left_out)
    keys = root / "tasks" / "codec" / "keys.py"
    keys.write_text(keys.read_text() + f"\n\ndef output_key(key, export):\n    return {folder!r} + key\n")
    return root


def knows_our_code(elsewhere: DaskCluster, *, of_workers: bool = True) -> bool:
    found = f"any(map(__import__('importlib.util').util.find_spec, {PACKAGES!r}))"
    with Client(elsewhere.address, timeout=180) as client:
        if of_workers:
            return any(client.run(eval, found).values())
        return bool(client.run_on_scheduler(eval, found))

"""Workers that fail to close do not make the finished work fail."""

from __future__ import annotations

import logging
import os
import signal
import threading
from typing import Any

import psutil
import pytest
from distributed import Nanny, Security

from infra.dask import closing
from infra.dask.closing import SelfClosingClient
from infra.dask.cluster import connect
from infra.settings import Settings
from tests.support.servers.ceph import free_ports
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster

pytestmark = pytest.mark.slow


def test_a_worker_that_is_not_joined_in_time_is_a_warning_and_is_killed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a starved machine, this call raised the TimeoutError of a run that had done all its work."""

    async def late(self: Nanny, *arguments: Any, **options: Any) -> None:
        raise TimeoutError

    before = set(psutil.Process().children(recursive=True))
    with connect(Settings(workers=1, _env_file=None)) as client:
        (process,) = client.run(os.getpid).values()
        monkeypatch.setattr(Nanny, "kill", late)
    assert "the Dask workers did not close cleanly: TimeoutError" in caplog.text
    assert psutil.wait_procs([psutil.Process(process)] if psutil.pid_exists(process) else [], 60)[1] == []
    gone = set(psutil.Process().children(recursive=True)) - before
    assert all(
        process.status() == psutil.STATUS_ZOMBIE or "tracker" in str(process.cmdline()) for process in gone
    )


def test_a_client_that_cannot_connect_leaves_no_thread() -> None:
    """Left to the garbage collector, it was closed in the thread that the next client was starting: a deadlock."""
    before = set(threading.enumerate())
    with pytest.raises(TypeError, match="ssl_context"):
        SelfClosingClient(f"tls://127.0.0.1:{free_ports(1)[0]}", security=Security(), timeout="1s")
    assert {thread.name for thread in set(threading.enumerate()) - before} & {"IO loop"} == set()


def test_workers_that_are_stopped_while_they_close_end_nevertheless(caplog: pytest.LogCaptureFixture) -> None:
    with connect(Settings(workers=2, _env_file=None)) as client:
        processes = [psutil.Process(process) for process in client.run(os.getpid).values()]
        for process in processes:
            process.send_signal(signal.SIGSTOP)
    assert psutil.wait_procs(processes, timeout=60)[1] == []


def test_a_scheduler_that_is_stopped_while_the_client_closes_is_a_warning(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(closing, "CLOSE_SECONDS", 2.0)
    with dask_cluster(tmp_path / "dask", workers=1) as running:
        scheduler = _scheduler(running)
        try:
            with caplog.at_level(logging.WARNING), connect(Settings(cluster=running.address, _env_file=None)):
                scheduler.send_signal(signal.SIGSTOP)
        finally:
            scheduler.send_signal(signal.SIGCONT)


def _scheduler(running: DaskCluster) -> psutil.Process:
    return next(
        process
        for process in psutil.Process().children(recursive=True)
        if "scheduler" in process.cmdline() and str(running.folder) in " ".join(process.cmdline())
    )

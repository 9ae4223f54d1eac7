"""Workers on this machine: faults of their start are reported, and Ctrl-C ends the coordinator, not them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from distributed import LocalCluster

from infra.dask import cluster, local_cluster
from infra.dask.cluster import connect
from infra.dask.local_cluster import WorkersNotStarted
from infra.settings import Settings
from tests.support.servers.server_processes import PATIENCE, ROOT, slow_spawns, wait_for

pytestmark = pytest.mark.slow
ONE = Settings(workers=1, _env_file=None)
CONNECT = """
from infra.dask.cluster import connect
from infra.settings import Settings

with connect(Settings(workers=2, _env_file=None)):
    print("connected", flush=True)
    input()
"""


def test_a_worker_that_takes_long_to_come_back_is_waited_for() -> None:
    impatient = {"distributed.deploy.lost-worker-timeout": "1ms"}  # shorter than any worker takes
    with dask.config.set(impatient), connect(ONE) as client:
        (process,) = client.run(os.getpid).values()
        os.kill(process, signal.SIGKILL)
        assert client.submit(os.getpid).result(timeout=60) != process


def test_workers_that_die_as_they_start_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", "")  # Dask sets it permanently; this lets monkeypatch remove it again
    monkeypatch.delenv("PYTHONHOME")
    monkeypatch.setitem(cluster._WORKER_ENVIRONMENT, "PYTHONHOME", "/nowhere")
    with pytest.raises(WorkersNotStarted, match="no worker processes start on this machine"):
        enter()


def test_workers_that_never_start_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_cluster, "START_SECONDS", 0.01)
    with pytest.raises(WorkersNotStarted, match="no worker processes start on this machine"):
        enter()


def test_workers_are_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = [RuntimeError("a worker died"), None]
    start = local_cluster.LocalCluster

    def sometimes(**options: Any) -> LocalCluster:
        if error := starts.pop(0):
            raise error
        return start(**options)

    monkeypatch.setattr(local_cluster, "LocalCluster", sometimes)
    with connect(ONE) as client:
        assert cluster.worker_count(client) == 1
    assert starts == []


def test_ctrl_c_while_workers_start_interrupts_and_leaves_none(tmp_path: Path) -> None:
    process = begun(slow_spawns(tmp_path))
    workers = wait_for(lambda: worker_processes(process), "no worker starts", pause=0.02)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert "connected" not in stdout
    assert stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert stderr.count("Traceback") == 1, stderr  # that of the script itself
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []


def test_ctrl_c_does_not_reach_workers_nor_those_that_replace_them() -> None:
    process = begun()
    assert process.stdout is not None
    assert process.stdout.readline() == "connected\n"
    first, second = worker_processes(process)
    first.kill()
    replaced = wait_for(lambda: set(worker_processes(process)) - {first, second}, "no worker replaces it")
    for worker in (second, *replaced):
        worker.send_signal(signal.SIGINT)
    assert psutil.wait_procs([second, *replaced], timeout=1)[0] == []
    assert process.communicate("\n", timeout=PATIENCE) == ("", "")


def enter() -> None:
    with connect(ONE):
        raise AssertionError("connected")


def begun(environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start a coordinator of two workers in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [sys.executable, "-c", CONNECT],
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def worker_processes(coordinator: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(coordinator.pid).children() if _is_worker(child)]


def _is_worker(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # it was killed and is not waited for yet
        return False

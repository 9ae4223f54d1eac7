"""A temporary Prefect server does not outlive the run that it was started for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.servers.server_processes import wait_for

FLOW = """
import time
from prefect import flow
from flows.running.command_line import run

@flow
def waiting():
    print("running", flush=True)
    time.sleep(600)

run(waiting)
"""


@pytest.mark.slow
def test_the_server_of_a_killed_run_ends(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    run = subprocess.Popen(
        [sys.executable, "-c", FLOW],
        env={**environment, "PREFECT_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert run.stdout is not None
        assert run.stdout.readline() == "running\n"
        servers = psutil.Process(run.pid).children(recursive=True)
        assert any("infra.prefect.temporary_server" in " ".join(server.cmdline()) for server in servers)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.communicate(timeout=60)
    wait_for(lambda: not any(map(_is_alive, servers)), "the temporary server is still there")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE

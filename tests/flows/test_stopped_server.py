"""Prefect's server stops answering once all photographs are recorded: the run still ends well."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from infra.failpoints import VARIABLE
from tests.support.servers.deployments import put_photos
from tests.support.servers.prefect_server import PrefectServer
from tests.support.servers.server_processes import PATIENCE, wait_for
from tests.support.servers.typed import started

pytestmark = pytest.mark.slow


def test_a_server_that_stops_after_the_last_commit_costs_no_result(
    server: PrefectServer, tmp_path: Path
) -> None:
    names = put_photos(tmp_path / "rainy", 2)
    token = tmp_path / "token"
    token.touch()
    variables = {
        VARIABLE: f"after-commit:stop:{token}",
        "DERAIN_WORKSPACE": str(tmp_path / "workspace"),
        "DERAIN_WORKERS": "1",
        "PREFECT_API_REQUEST_TIMEOUT": "3",
    }
    places = ["--source", str(tmp_path / "rainy"), "--destination", str(tmp_path / "out")]
    process = started({**server.environment, **variables}, *places)
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, "it does not commit")
    with stopped(server):
        os.kill(process.pid, signal.SIGCONT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, stderr
    (line,) = stdout.splitlines()
    assert line.startswith("2 derained, 0 rejected, 0 pending")
    assert Path(line.rpartition("report: ")[2]).is_file()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    warning = "derain-batch: Prefect's server does not answer and does not know how the run ended"
    assert stderr.splitlines()[-1] == warning
    assert "Traceback" not in stderr


@contextmanager
def stopped(server: PrefectServer) -> Iterator[None]:
    """Stop the processes of a server for the block."""
    port = server.url.removesuffix("/api").rpartition(":")[2]
    processes = [
        process
        for process in psutil.Process().children(recursive=True)
        if port in process.cmdline() or any(port in parent.cmdline() for parent in process.parents()[:1])
    ]
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)

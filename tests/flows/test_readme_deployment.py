"""The commands of the README's "Deployed with Prefect" work literally for a user who never used Prefect."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.servers.ceph import free_ports
from tests.support.servers.deployments import put_photos
from tests.support.servers.prefect_server import PrefectServer, shell_environment
from tests.support.servers.server_processes import ROOT, ServerProcess, running, wait_for

pytestmark = pytest.mark.slow

PORT = "4200"
"""The port in the README, which may be in use on this machine."""


def test_its_lines_end_with_a_completed_run(tmp_path: Path) -> None:
    names = put_photos(tmp_path / "rainy", 2)
    with _typed(_lines(), tmp_path) as (shell, server):
        shell.wait_for_answer(f"{server.url}/deployments/name/derain-batch/derain-batch")
        deployment_id = server.get("deployments/name/derain-batch/derain-batch")["id"]
        wait_for(lambda: _is_completed(shell, server, deployment_id), "no run has completed")
    assert sorted(path.name for path in (tmp_path / "derained").iterdir()) == names
    assert "temporary server" not in shell.log.read_text()


def _lines() -> str:
    section = (ROOT / "README.md").read_text().partition("## Deployed with Prefect")[2].partition("\n## ")[0]
    (lines,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    assert PORT in lines
    return str(lines)


@contextmanager
def _typed(lines: str, root: Path) -> Iterator[tuple[ServerProcess, PrefectServer]]:
    """Run the commands in a shell with an empty home, folders in `root` in place of buckets, and another port."""
    (port,) = free_ports(1)
    lines = re.sub(r"s3://photos/(\w+)", rf"{root}/\1", lines.replace(PORT, str(port)))
    home = root / "home"
    home.mkdir()
    environment = {
        **shell_environment(),
        "HOME": str(home),
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_UI_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "DERAIN_WORKERS": "1",
    }
    with running(["bash", "-e", "-c", f"{lines}\nwait"], environment, root / "shell.log") as shell:
        yield shell, PrefectServer(f"http://127.0.0.1:{port}/api", environment)


def _is_completed(shell: ServerProcess, server: PrefectServer, deployment_id: str) -> bool:
    """Return whether the requested run has completed, or the hourly one if that started first."""
    assert shell.process.poll() is None, shell.log.read_text()
    runs = {run["state_type"]: run for run in server.runs_of(deployment_id)}
    for ended in ("FAILED", "CRASHED"):
        assert ended not in runs, server.log_of(runs[ended]["id"])
    return "COMPLETED" in runs

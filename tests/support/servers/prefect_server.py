"""A real Prefect server and a real process worker, each in its own process, for the tests of a session."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tenacity import retry, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed

from tests.support.servers.ceph import free_ports
from tests.support.servers.server_processes import PATIENCE, ROOT, running

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")


@dataclass(frozen=True, slots=True)
class PrefectServer:
    """Address of a server, and the environment of its clients."""

    url: str
    environment: dict[str, str]

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the project's folder, whatever its exit code."""
        return subprocess.run(
            words,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def done(self, *words: str) -> str:
        """Run a command that must succeed, and return its output."""
        ended = self.command(*words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def get(self, url_path: str, /) -> Any:
        return _content(_sent("GET", f"{self.url}/{url_path}"))

    def post(self, url_path: str, /, **body: Any) -> Any:
        return _content(_sent("POST", f"{self.url}/{url_path}", json=body))

    def runs_of(self, deployment_id: str) -> list[dict[str, Any]]:
        """Return the flow runs of a deployment, including scheduled ones."""
        found: list[dict[str, Any]] = self.post(
            "flow_runs/filter", deployments={"id": {"any_": [deployment_id]}}, sort="EXPECTED_START_TIME_ASC"
        )
        return found

    def artifacts_of(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the artifacts of a flow run by key."""
        found = self.post("artifacts/filter", artifacts={"flow_run_id": {"any_": [run_id]}})
        return {artifact["key"]: artifact for artifact in found}

    def log_of(self, run_id: str) -> str:
        """Return the log of a flow run, for the message of a failing test."""
        found = self.post("logs/filter", logs={"flow_run_id": {"any_": [run_id]}}, sort="TIMESTAMP_ASC")
        return "\n".join(line["message"] for line in found)


@contextmanager
def prefect_server(folder: Path) -> Iterator[PrefectServer]:
    """Run a server with its own database in `folder`."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/api"
    environment = {**shell_environment(), "PREFECT_HOME": str(folder), "PREFECT_API_URL": url}
    server = PrefectServer(url, environment)
    command = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with running(command, server.environment, folder / "server.log") as process:
        process.wait_for_answer(f"{url}/health")
        yield server


@contextmanager
def process_worker(server: PrefectServer, folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Run a worker of the pool `derain` with settings in its environment and its log in `folder`."""
    environment = {**server.environment, **settings, "PREFECT_WORKER_QUERY_SECONDS": "2"}
    command = ["prefect", "worker", "start", "--pool", "derain", "--name", "tested"]
    with running(command, environment, folder / "worker.log"):
        yield


def shell_environment() -> dict[str, str]:
    """Return the environment of a user's shell in the project's folder, without this developer's settings."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PREFECT_", "DERAIN_", "AWS_"))
    }
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PWD": str(ROOT),
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "COLUMNS": "200",
    }


@retry(
    # While its database is locked, a server on SQLite answers so, or not at all for a long time; Prefect's own
    # client retries too.
    retry=retry_if_result(lambda response: response.status_code == httpx.codes.SERVICE_UNAVAILABLE)
    | retry_if_exception_type(httpx.TransportError),
    stop=stop_after_delay(PATIENCE),
    wait=wait_fixed(0.5),
)
def _sent(method: str, url: str, **content: Any) -> httpx.Response:
    return httpx.request(method, url, timeout=60, **content)


def _content(response: httpx.Response) -> Any:
    assert response.is_success, f"{response.url}: {response.status_code} {response.text}"
    return response.json() if response.content else None

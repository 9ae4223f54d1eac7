"""A real MLflow server on loopback, and a model server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.servers.ceph import free_ports
from tests.support.servers.server_processes import running


@contextmanager
def mlflow_server(folder: Path, artifacts: str) -> Iterator[str]:
    """Run a tracking server with SQLite in a folder and artifacts at a URL; yield the server's URL."""
    database = f"sqlite:///{folder / 'mlflow.db'}"
    command = ["server", "--workers", "1", "--backend-store-uri", database]
    command += ["--artifacts-destination", artifacts]
    with _mlflow(command, folder, "health", {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}) as url:
        yield url


@contextmanager
def served_model(folder: Path, tracking_uri: str, model: str) -> Iterator[str]:
    """Serve a registered model from an empty folder; yield the URL."""
    command = ["models", "serve", "--model-uri", model, "--env-manager", "local"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by name
    with _mlflow(command, folder, "ping", {"MLFLOW_TRACKING_URI": tracking_uri, "PATH": path}) as url:
        yield url


@contextmanager
def _mlflow(command: list[str], folder: Path, asked: str, variables: dict[str, str]) -> Iterator[str]:
    folder.mkdir(parents=True, exist_ok=True)
    (port,) = free_ports(1)
    words = [sys.executable, "-m", "mlflow", *command, "--host", "127.0.0.1", "--port", str(port)]
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", **variables}
    url = f"http://127.0.0.1:{port}"
    with running(words, environment, folder / f"{asked}.log", folder) as server:
        server.wait_for_answer(f"{url}/{asked}")
        yield url

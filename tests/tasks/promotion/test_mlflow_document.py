"""The MLflow commands of docs/how-to/promotion.md run literally, except for their ports."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from infra.settings import Settings
from infra.tracking.registry import CHAMPION_URL
from models import derain
from tasks.resolved_model import resolve_model
from tests.support.samples.photographs import photograph
from tests.support.servers.ceph import free_ports
from tests.support.servers.server_processes import PATIENCE, ROOT, running

pytestmark = pytest.mark.slow
DOCUMENT = (ROOT / "docs" / "how-to" / "promotion.md").read_text(encoding="utf-8")


def written(beginning: str) -> list[str]:
    """Return the words of the document's only command with this beginning."""
    (line,) = re.findall(rf"^{beginning}.*$", DOCUMENT, re.MULTILINE)
    return shlex.split(line, comments=True)


@pytest.fixture
def home(tracking_tables: Path, tmp_path: Path) -> Path:
    shutil.copytree(tracking_tables, tmp_path / "var")
    resolve_model(Settings(workspace=str(tmp_path / "var"), _env_file=None), CHAMPION_URL)
    return tmp_path


def environment(**variables: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **variables,
    }


def test_the_pages_of_mlflow_show_the_workspace(home: Path):
    (port,) = free_ports(1)
    command = [*written("mlflow ui"), "--workers", "1", "--port", str(port)]
    variables = environment(MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")
    with running(command, variables, home / "ui.log", home) as server:
        server.wait_for_answer(f"http://127.0.0.1:{port}/health")
        found = httpx.get(
            f"http://127.0.0.1:{port}/api/2.0/mlflow/registered-models/search", timeout=PATIENCE
        )
    (model,) = found.json()["registered_models"]
    assert model["latest_versions"][0]["description"].startswith("# student-large")


def test_the_request_of_the_document_derains_a_photograph(home: Path):
    (port,) = free_ports(1)
    name, _, value = written("export MLFLOW_TRACKING_URI=")[1].partition("=")
    command = written("mlflow models serve")
    command[command.index("5001")] = str(port)
    Image.fromarray(photograph("coffee", side=48)).save(home / "photo.png")
    request = ["photo.png" if word == "photo.jpg" else word for word in written("python examples/")]
    request[:2] = [sys.executable, str(ROOT / request[1])]
    address = f"http://127.0.0.1:{port}"
    with running(command, environment(**{name: value}), home / "serve.log", home) as server:
        server.wait_for_answer(f"{address}/ping")
        asked = subprocess.run(request, cwd=home, env=environment(SERVED=address), check=False)
        refused = httpx.post(f"{address}/invocations", json={"inputs": [[1.5]]}, timeout=PATIENCE)
    assert asked.returncode == 0
    with Image.open(home / "derained.png") as derained:
        np.testing.assert_array_equal(np.asarray(derained), derain(photograph("coffee", side=48)))
    assert refused.status_code == 400
    assert "photographs are uint8 (N, H, W, 3) RGB" in refused.text

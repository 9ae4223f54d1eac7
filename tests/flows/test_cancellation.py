"""A run that is cancelled or interrupted becomes Cancelled within seconds, and keeps its finished work."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.catalog.derained import Catalog
from infra.failpoints import VARIABLE
from tests.support.servers.deployments import Deployed, put_photos
from tests.support.servers.prefect_server import ENDED, PrefectServer
from tests.support.servers.server_processes import PATIENCE, slow_spawns, wait_for
from tests.support.servers.typed import started

pytestmark = pytest.mark.slow
IMAGES = 400
INTERRUPTED = "derain-batch: interrupted; run it again to continue"
UNDER_WAY = 40
"""Maximum number of outputs of shards that have not returned yet."""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    put_photos(tmp_path / "rainy", IMAGES)
    return {
        "DERAIN_SOURCE": str(tmp_path / "rainy"),
        "DERAIN_DESTINATION": str(tmp_path / "out"),
        "DERAIN_WORKSPACE": str(tmp_path / "workspace"),
        "DERAIN_WORKERS": "1",
        "DERAIN_SHARD_IMAGES": "4",
        VARIABLE: "decode:slow:0.05",
    }


def derained(folder: Path) -> int:
    return len(list((folder / "out").glob("*.png")))


def begun(deployed: Deployed, settings: dict[str, str]) -> str:
    """Start a run of the deployment with these settings; return its id."""
    variables = {"env": {**deployed.deployment["job_variables"].get("env", {}), **settings}}
    path = f"deployments/{deployed.deployment['id']}/create_flow_run"
    run: dict[str, Any] = deployed.server.post(path, job_variables=variables)
    return str(run["id"])


def state_of(server: PrefectServer, run: str) -> str:
    return str(server.get(f"flow_runs/{run}")["state_type"])


@pytest.mark.parametrize("slow", ["decode:slow:0.05", "before-commit:slow:3"])
def test_a_cancelled_run_is_cancelled_and_its_rows_are_recorded(
    deployed: Deployed, settings: dict[str, str], tmp_path: Path, slow: str
) -> None:
    server, log = deployed.server, deployed.root / "worker.log"
    earlier = len(log.read_text())
    run = begun(deployed, {**settings, VARIABLE: slow})
    wait_for(lambda: derained(tmp_path) > 20, "no outputs")
    server.done("prefect", "flow-run", "cancel", run)
    wait_for(lambda: state_of(server, run) in ENDED, server.log_of(run))
    reported = log.read_text()[earlier:]
    assert state_of(server, run) == "CANCELLED", reported
    assert all(word not in reported for word in ("Traceback", "ERROR", "Already running")), reported
    assert server.artifacts_of(run)["progress"]["description"].startswith("cancelled: ")
    recorded = Catalog(str(tmp_path / "workspace")).frame()
    assert derained(tmp_path) - UNDER_WAY <= recorded.height < IMAGES


def test_ctrl_c_is_cancelled_too(server: PrefectServer, settings: dict[str, str], tmp_path: Path) -> None:
    process = started({**server.environment, **settings})
    wait_for(lambda: derained(tmp_path) > 20, "no outputs")
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == INTERRUPTED
    assert all(word not in stderr for word in ("Traceback", "ERROR")), stderr
    recorded = Catalog(str(tmp_path / "workspace")).frame()
    (run,) = recorded["run_id"].unique()
    assert state_of(server, run) == "CANCELLED"
    assert server.artifacts_of(run)["progress"]["description"].startswith("cancelled: ")
    assert derained(tmp_path) - UNDER_WAY <= recorded.height < IMAGES


def test_ctrl_c_while_workers_start_is_cancelled_too(
    server: PrefectServer, settings: dict[str, str], tmp_path: Path
) -> None:
    process = started({**server.environment, **settings, **slow_spawns(tmp_path)})
    workers = wait_for(lambda: spawned_by(process.pid), "no worker starts", pause=0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == INTERRUPTED
    assert all(word not in stderr for word in ("Traceback", "ERROR", "did not close")), stderr
    assert derained(tmp_path) == 0
    assert psutil.wait_procs(workers, timeout=PATIENCE)[1] == []
    typed = {"deployment_id": {"is_null_": True}}
    (latest,) = server.post("flow_runs/filter", sort="START_TIME_DESC", limit=1, flow_runs=typed)
    assert latest["state_type"] == "CANCELLED"


def spawned_by(coordinator: int) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(coordinator).children() if "spawn_main" in " ".join(child.cmdline())
    ]

"""A run that is cancelled or interrupted is Cancelled within seconds, and keeps what it has done."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.catalog.derained import Catalog
from tests.support.servers.deployments import put_photos
from tests.support.servers.prefect_server import ENDED, PrefectServer, process_worker
from tests.support.servers.server_processes import PATIENCE, wait_for
from tests.support.servers.typed import started

pytestmark = pytest.mark.slow
IMAGES = 400


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    put_photos(tmp_path / "rainy", IMAGES)
    return {
        "DERAIN_SOURCE": str(tmp_path / "rainy"),
        "DERAIN_DESTINATION": str(tmp_path / "out"),
        "DERAIN_WORKSPACE": str(tmp_path / "workspace"),
        "DERAIN_WORKERS": "1",
        "DERAIN_SHARD_IMAGES": "4",
    }


@pytest.fixture
def work_pool(server: PrefectServer, settings: dict[str, str], tmp_path: Path) -> Iterator[Path]:
    """A worker with these settings at work, and the deployment; the worker's log."""
    server.command("prefect", "--no-prompt", "work-pool", "create", "derain", "--type", "process")
    server.done("prefect", "--no-prompt", "deploy", "--name", "derain-batch")
    deployment = server.get("deployments/name/derain-batch/derain-batch")
    server.post(f"deployments/{deployment['id']}/pause_deployment")
    with process_worker(server, tmp_path, settings):
        yield tmp_path / "worker.log"


def derained(folder: Path) -> int:
    return len(list((folder / "out").glob("*.png")))


def test_a_cancelled_run_is_cancelled_and_its_rows_are_recorded(
    server: PrefectServer, work_pool: Path, tmp_path: Path
) -> None:
    deployment = server.get("deployments/name/derain-batch/derain-batch")
    run = server.post(f"deployments/{deployment['id']}/create_flow_run")
    wait_for(lambda: derained(tmp_path) > 20, "no outputs")
    server.done("prefect", "flow-run", "cancel", run["id"])

    def state() -> str:
        return str(server.get(f"flow_runs/{run['id']}")["state_type"])

    wait_for(lambda: state() in ENDED, server.log_of(run["id"]))
    log = work_pool.read_text()
    assert state() == "CANCELLED", log
    assert "Traceback" not in log, log
    assert "ERROR" not in log, log
    assert "Already running asyncio" not in log, log
    assert derained(tmp_path) < IMAGES
    assert Catalog(str(tmp_path / "workspace")).frame().height >= derained(tmp_path) - 40


def test_a_refusal_in_a_worker_is_one_line(server: PrefectServer, work_pool: Path, tmp_path: Path) -> None:
    deployment = server.get("deployments/name/derain-batch/derain-batch")
    nowhere = {"source": str(tmp_path / "nowhere")}
    run = server.post(f"deployments/{deployment['id']}/create_flow_run", parameters=nowhere)
    wait_for(lambda: server.get(f"flow_runs/{run['id']}")["state_type"] in ENDED, server.log_of(run["id"]))
    wait_for(lambda: "exited with" in work_pool.read_text(), "the worker does not notice")
    log = work_pool.read_text()
    assert "Traceback" not in log, log
    assert "unexpected exception" not in log, log


def test_ctrl_c_is_cancelled_too(server: PrefectServer, settings: dict[str, str], tmp_path: Path) -> None:
    process = started({**server.environment, **settings})
    wait_for(lambda: derained(tmp_path) > 20, "no outputs")
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, stderr
    assert stderr.splitlines()[-1] == "derain-batch: interrupted; run it again to go on"
    assert "Traceback" not in stderr, stderr
    assert "ERROR" not in stderr, stderr
    recorded = Catalog(str(tmp_path / "workspace")).frame()
    (run_id,) = recorded["run_id"].unique()
    assert server.get(f"flow_runs/{run_id}")["state_type"] == "CANCELLED"
    assert recorded.height >= derained(tmp_path) - 40

"""The installation of compose.yaml over a bucket: PostgreSQL, Prefect, MLflow, Dask, all in containers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra.settings import Settings
from models.shipped import DEFAULT_WEIGHTS
from tests.conftest import fresh_bucket
from tests.support.containers.composed import LISTEN, Installation, installation
from tests.support.containers.containers import Podman
from tests.support.servers.ceph import Gateway
from tests.support.servers.prefect_server import ENDED
from tests.support.servers.server_processes import wait_for
from tests.support.worlds.buckets import Rain, contents, photographs

pytestmark = [pytest.mark.containers, pytest.mark.slow]
IMAGES = 12


@pytest.fixture(scope="module")
def monkeymodule() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def rain(store: Gateway, monkeymodule: pytest.MonkeyPatch) -> Rain:
    """Return photographs in a bucket, and settings with the shipped network."""
    bucket = fresh_bucket(store, monkeymodule)
    settings = Settings(workspace=f"{bucket}/workspace", _env_file=None)
    return Rain(
        f"{bucket}/rainy", f"{bucket}/derained", DEFAULT_WEIGHTS, photographs(IMAGES), settings
    ).fill()


@pytest.fixture(scope="module")
def running(
    engine: Podman, rain: Rain, storage_env: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    places = {
        "DERAIN_SOURCE": rain.source,
        "DERAIN_DESTINATION": rain.destination,
        "DERAIN_WORKSPACE": rain.settings.workspace,
        "MLFLOW_ARTIFACTS": f"{rain.settings.workspace}/mlflow",
    }
    with installation(engine, tmp_path_factory.mktemp("installation"), storage_env, places) as made:
        yield made


def test_the_deployment_run_derains_the_bucket_as_this_machine_would(
    running: Installation, rain: Rain
) -> None:
    """The run is started in the Prefect worker's container, whose flows come only from the image."""
    running.execute("prefect-worker", "prefect", "deployment", "run", "derain-batch")
    found = wait_for(lambda: ended_run(running), "no run of the deployment has ended", 2)
    assert found["state_type"] == "COMPLETED", found["state"]["message"] + running.log("prefect-worker")
    rain.assert_done()


def test_all_state_is_in_postgres_and_the_model_in_the_bucket(running: Installation, rain: Rain) -> None:
    query = "select count(*) from flow_run where state_type = 'COMPLETED'"
    assert int(ask_postgres(running, "prefect", query)) >= 1
    assert ask_postgres(running, "mlflow", "select name from registered_models") == "derain-student"
    artifacts = contents(f"{rain.settings.workspace}/mlflow")
    assert any(data == DEFAULT_WEIGHTS.read_bytes() for data in artifacts.values())


def test_nothing_listens_beyond_loopback(running: Installation) -> None:
    for port in (4200, 5000, 8786, 8787):
        assert can_connect(LISTEN, port)
    others = [
        address.address
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family.name == "AF_INET" and not address.address.startswith("127.")
    ]
    assert others
    assert not [(host, port) for host in others for port in (4200, 8787) if can_connect(host, port)]


def ended_run(running: Installation) -> dict[str, object] | None:
    body = {"flow_runs": {"deployment_id": {"is_null_": False}}, "sort": "EXPECTED_START_TIME_ASC"}
    runs = httpx.post(f"{running.prefect_url}/flow_runs/filter", json=body, timeout=60).json()
    return next((run for run in runs if run["state_type"] in ENDED and not run["auto_scheduled"]), None)


def ask_postgres(running: Installation, database: str, query: str) -> str:
    where = ["psql", "-h", "/var/run/postgresql", "-U", "derain", "-d", database]
    return running.execute("postgres", *where, "--tuples-only", "--no-align", "-c", query)


def can_connect(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True

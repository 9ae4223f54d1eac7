"""One Prefect server for the session, with derain-batch deployed on it and a running process worker.

`server`: clients in this process use it too. `deployed`: the real deployment, and a copy of it that runs every
minute. `called`: the run that `prefect deployment run derain-batch` created, watched from start to end.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from tests.support.servers.deployments import (
    IMAGES,
    Deployed,
    Watched,
    copy_every_minute,
    put_photos,
    worker_settings,
)
from tests.support.servers.prefect_server import ENDED, PrefectServer, prefect_server, process_worker
from tests.support.servers.server_processes import wait_for


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    home = tmp_path_factory.mktemp("prefect")
    with (
        prefect_server(home) as running,
        temporary_settings({PREFECT_API_URL: running.url, PREFECT_HOME: home}),
    ):
        yield running
        _send_what_is_left()


@pytest.fixture(scope="session")
def deployed(server: PrefectServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    root = tmp_path_factory.mktemp("deployed")
    put_photos(root / "rainy", IMAGES)
    server.done("prefect", "--no-prompt", "work-pool", "create", "derain", "--type", "process")
    server.done("prefect", "--no-prompt", "deploy", "--all")
    deployment = server.get("deployments/name/derain-batch/derain-batch")
    server.post(f"deployments/{deployment['id']}/pause_deployment")  # the tests may run at the full hour
    with process_worker(server, root, worker_settings(root)):
        yield Deployed(server, root, deployment, copy_every_minute(server, root, deployment))


@pytest.fixture(scope="session")
def called(deployed: Deployed) -> Watched:
    server, deployment_id = deployed.server, deployed.deployment["id"]
    earlier = {each["id"] for each in server.runs_of(deployment_id)}  # of other tests of this session

    def runs() -> list[dict[str, Any]]:
        return [each for each in server.runs_of(deployment_id) if each["id"] not in earlier]

    server.done("prefect", "deployment", "run", "derain-batch")
    (run,) = runs()
    wait_for(lambda: _state(server, run) == "RUNNING", server.log_of(run["id"]))
    progress: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        second = pool.submit(server.command, "prefect", "deployment", "run", "derain-batch")

        def is_over() -> bool:
            artifact = server.artifacts_of(run["id"]).get("progress")
            if artifact and artifact["data"] not in progress[-1:]:
                progress.append(artifact["data"])
            states = [each["state_type"] for each in runs()]
            return second.done() and all(state in ENDED for state in states)

        wait_for(is_over, server.log_of(run["id"]))
    ended = {each["id"]: each for each in runs()}
    run = ended.pop(run["id"])
    (other,) = ended.values()
    return Watched(run, other, second.result().stderr, progress)


def _state(server: PrefectServer, run: dict[str, Any]) -> str:
    return str(server.get(f"flow_runs/{run['id']}")["state_type"])


def _send_what_is_left() -> None:
    """Send the logs and events of this process while there is a server; at exit, sending would take a minute."""
    APILogWorker.drain_all()
    EventsWorker.drain_all()

"""Runs with a scheduler and two workers on separate hosts, which have only the dependencies of this project.

Cables are pulled and hosts die during a run. The coordinator is on this machine; photographs and workspace are in a
bucket.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from distributed import Client

from infra.dask.shared_folders import FolderNotShared
from infra.dask.versions import without_version_tables
from infra.settings import Settings
from tests.support.containers.containers import WORKER, Podman
from tests.support.containers.hosts import Host, Network
from tests.support.servers.dask_cluster import wait_until
from tests.support.worlds.batch import PATIENCE, model_path
from tests.support.worlds.buckets import Rain, photographs

pytestmark = [pytest.mark.containers, pytest.mark.slow]
IMAGES = 200
KEPT = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")


@dataclass(frozen=True, slots=True)
class Hosts:
    """The hosts and containers of the cluster."""

    engine: Podman
    scheduler: Host
    scheduler_container: str
    workers: dict[Host, str]

    @property
    def address(self) -> str:
        return f"tcp://{self.scheduler.address}:8786"

    def worker_hosts(self) -> set[str]:
        """Return the addresses of the hosts whose workers the scheduler knows."""
        with without_version_tables(), Client(self.address, timeout=PATIENCE) as client:
            workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return {worker["host"] for worker in workers}

    def wait_for_all(self) -> None:
        wait_until(lambda: len(self.worker_hosts()) == len(self.workers))


@pytest.fixture(scope="module")
def hosts(engine: Podman, lan: Network, storage_env: Path) -> Iterator[Hosts]:
    scheduler, *workers = [lan.host() for _ in range(3)]
    impatient = ["--env", "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP=15s"]
    with ExitStack() as running:

        def start(host: Host, *words: str) -> str:
            options = [
                "--network",
                host.network,
                "--restart",
                "always",
                "--env-file",
                str(storage_env),
                *KEPT,
            ]
            return running.enter_context(engine.container(*options, *impatient, WORKER, "dask", *words))

        listening = start(
            scheduler, "scheduler", "--host", scheduler.address, "--port", "8786", "--no-dashboard"
        )
        address = f"tcp://{scheduler.address}:8786"
        own = ["--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--local-directory", "/tmp/dask"]
        started = {host: start(host, "worker", address, "--host", host.address, *own) for host in workers}
        made = Hosts(engine, scheduler, listening, started)
        made.wait_for_all()
        yield made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_path(tmp_path_factory.mktemp("model"))


@pytest.fixture
def rain(place: str, hosts: Hosts, model: Path) -> Rain:
    hosts.wait_for_all()
    settings = Settings(
        workspace=f"{place}/workspace", cluster=hosts.address, shard_images=5, wave_shards=4, _env_file=None
    )
    return Rain(f"{place}/rainy", f"{place}/derained", model, photographs(IMAGES), settings).fill()


def test_a_folder_of_this_machine_is_refused_in_one_line(rain: Rain, hosts: Hosts, tmp_path: Path) -> None:
    reported = f"{tmp_path}: 2 of 2 workers of {hosts.address} do not see this folder"
    with pytest.raises(FolderNotShared, match=reported):
        rain.but(workspace=str(tmp_path)).derain()
    assert list(tmp_path.iterdir()) == []
    assert rain.outputs() == {}


def test_a_link_cut_in_the_middle_costs_nothing_and_the_worker_comes_back(
    rain: Rain, hosts: Hosts, tmp_path: Path
) -> None:
    victim = next(iter(hosts.workers))
    with rain.started(tmp_path / "printed") as run:
        wait_until(lambda: len(rain.outputs()) > 0, run)
        victim.cut()
        try:
            assert len(rain.outputs()) < IMAGES
            assert run.wait(PATIENCE) == 0, (tmp_path / "printed").read_text()
            rain.assert_done()
            assert hosts.worker_hosts() == {host.address for host in hosts.workers} - {victim.address}
        finally:
            victim.mend()
    hosts.wait_for_all()


def test_a_killed_scheduler_ends_the_run_with_a_line_and_the_next_run_ends_the_work(
    rain: Rain, hosts: Hosts, tmp_path: Path
) -> None:
    with rain.started(tmp_path / "printed") as run:
        wait_until(lambda: len(rain.outputs()) > 0, run)
        hosts.engine("kill", hosts.scheduler_container)
        assert run.wait(PATIENCE) == 1
    assert "the Dask scheduler went away" in (tmp_path / "printed").read_text().splitlines()[-1]
    hosts.engine("start", hosts.scheduler_container)
    hosts.wait_for_all()
    assert rain.derain().state == "Completed"
    rain.assert_done()

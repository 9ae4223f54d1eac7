"""The manifests of scheduler and workers, played by podman: their pods derain a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from distributed import Client

from infra.settings import Settings
from tests.support.servers.ceph import Gateway
from tests.support.servers.containers import Podman
from tests.support.servers.dask_cluster import wait_until
from tests.support.servers.server_processes import ROOT
from tests.support.worlds.batch import PATIENCE, model_path
from tests.support.worlds.buckets import Rain, photographs

pytestmark = [pytest.mark.containers, pytest.mark.slow]
BASE = ROOT / "deploy" / "kubernetes" / "base"
NETWORK = "derain-pods"
SCHEDULER = "derain-scheduler-pod"


@pytest.fixture(scope="module")
def scheduler(engine: Podman, store: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the scheduler, as it is after all pods run."""
    played = tmp_path_factory.mktemp("pods") / "played.yaml"
    played.write_text(yaml.safe_dump_all(manifests(store)))
    engine("network", "create", NETWORK)
    try:
        engine("play", "kube", "--network", NETWORK, str(played))
        found = engine("inspect", "--format", "{{.NetworkSettings.Networks}}", f"{SCHEDULER}-0-scheduler")
        assert found
        yield f"tcp://{pod_address(engine)}:8786"
    finally:
        engine("play", "kube", "--down", str(played))
        engine("network", "rm", "--force", NETWORK)


def test_pods_of_the_manifests_derain_a_bucket(scheduler: str, place: str, tmp_path: Path) -> None:
    with Client(scheduler, timeout=PATIENCE) as client:
        wait_until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
    settings = Settings(workspace=f"{place}/workspace", cluster=scheduler, shard_images=5, _env_file=None)
    rain = Rain(f"{place}/rainy", f"{place}/derained", model_path(tmp_path), photographs(40), settings).fill()
    assert rain.derain().state == "Completed"
    rain.assert_done()

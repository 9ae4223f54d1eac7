"""The manifests of scheduler and workers, played by podman: their pods derain a bucket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from infra.dask.versions import without_version_tables
from infra.settings import Settings
from tests.support.containers.containers import WORKER, Podman
from tests.support.servers.ceph import Gateway
from tests.support.servers.dask_cluster import wait_until
from tests.support.servers.server_processes import ROOT
from tests.support.worlds.batch import PATIENCE, model_path
from tests.support.worlds.buckets import Rain, photographs

pytestmark = [pytest.mark.containers, pytest.mark.slow]
BASE = ROOT / "deploy" / "kubernetes" / "base"
NETWORK = "derain-pods"
SCHEDULER = "derain-scheduler-pod-0"
"""Podman's name for the pod of the Deployment; podman has no Services, so workers get this name."""
ADDRESS = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"


@pytest.fixture(scope="module")
def scheduler(engine: Podman, store: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start all pods; yield the address of the scheduler."""
    played = tmp_path_factory.mktemp("pods") / "played.yaml"
    played.write_text(yaml.safe_dump_all(manifests(store)))
    engine("network", "create", NETWORK)
    try:
        engine("play", "kube", "--network", NETWORK, str(played))
        address = engine("inspect", "--format", ADDRESS, f"{SCHEDULER}-scheduler")
        yield f"tcp://{address}:8786"
    finally:
        engine("play", "kube", "--down", str(played))
        engine("network", "rm", "--force", NETWORK)


def test_pods_of_the_manifests_derain_a_bucket(scheduler: str, place: str, tmp_path: Path) -> None:
    with without_version_tables(), Client(scheduler, timeout=PATIENCE) as client:
        wait_until(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
    settings = Settings(workspace=f"{place}/workspace", cluster=scheduler, shard_images=5, _env_file=None)
    rain = Rain(f"{place}/rainy", f"{place}/derained", model_path(tmp_path), photographs(40), settings).fill()
    assert rain.derain().state == "Completed"
    rain.assert_done()


def manifests(store: Gateway) -> Iterator[dict[str, Any]]:
    """Yield the ConfigMap and Deployments, with our image, adapted where podman differs from Kubernetes."""
    for name in ("settings", "scheduler", "workers"):
        for manifest in yaml.safe_load_all((BASE / f"{name}.yaml").read_text()):
            if manifest["kind"] == "ConfigMap":
                manifest["data"] |= {
                    "DASK_SCHEDULER_ADDRESS": f"tcp://{SCHEDULER}:8786",
                    "AWS_ENDPOINT_URL": store.endpoint,
                    "AWS_ACCESS_KEY_ID": store.access_key,
                    "AWS_SECRET_ACCESS_KEY": store.secret_key,
                }
                yield manifest
            if manifest["kind"] == "Deployment":
                (container,) = manifest["spec"]["template"]["spec"]["containers"]
                container["image"] = WORKER
                container["imagePullPolicy"] = "Never"
                container.pop("ports", None)  # podman would open them on this machine
                container["envFrom"] = [each for each in container["envFrom"] if "configMapRef" in each]
                yield manifest

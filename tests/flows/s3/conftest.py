"""Buckets of rainy photographs, and remote Dask workers that derain them.

`workers`: three processes that outlive runs and get our code only from runs. `rain`: photographs in a fresh bucket
of the object gateway, with outputs and workspace in the same bucket, derained by `workers`. `proxy`: a proxy in
front of the gateway that makes requests fail if a test asks for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.support.servers.ceph import Gateway
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster
from tests.support.servers.faulty_proxy import FaultyProxy
from tests.support.worlds.batch import model_path
from tests.support.worlds.buckets import Rain, photographs

IMAGES = 24


@pytest.fixture(scope="session")
def workers(ceph: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    variables = {
        "AWS_ENDPOINT_URL": ceph.endpoint,
        "AWS_ACCESS_KEY_ID": ceph.access_key,
        "AWS_SECRET_ACCESS_KEY": ceph.secret_key,
        "DERAIN_RETRY_SECONDS": "20",
    }
    with dask_cluster(tmp_path_factory.mktemp("dask"), workers=3, variables=variables) as running:
        yield running


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_path(tmp_path_factory.mktemp("model"))


@pytest.fixture
def update_workers(workers: DaskCluster) -> Callable[[], None]:
    """Return a function that gives the workers the test's current AWS environment and retry time."""

    def update() -> None:
        names = [name for name in os.environ if name.startswith("AWS_")]
        workers.set_environment({name: os.environ[name] for name in [*names, "DERAIN_RETRY_SECONDS"]})

    return update


@pytest.fixture
def proxy(ceph: Gateway, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    with FaultyProxy(ceph.endpoint) as running:
        monkeypatch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        yield running


@pytest.fixture
def rain(
    proxy: FaultyProxy,
    bucket: str,
    workers: DaskCluster,
    update_workers: Callable[[], None],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Rain:
    monkeypatch.setenv("DERAIN_RETRY_SECONDS", "20")
    update_workers()
    settings = Settings(
        workspace=f"{bucket}/work space",
        cluster=workers.address,
        workers=2,
        shard_images=2,
        wave_shards=1,
        lease_seconds=30.0,
        _env_file=None,
    )
    return Rain(f"{bucket}/rainy", f"{bucket}/out/derained", model, photographs(IMAGES), settings).fill()

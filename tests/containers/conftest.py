"""Containers and hosts for a session's tests: podman with our images, a network, and an object gateway on it.

Tests skip with a reason if these are not available; under CI they fail instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import fresh_bucket
from tests.support.containers.containers import Podman, images, missing
from tests.support.containers.hosts import Network, network
from tests.support.servers.ceph import Gateway, gateway, missing_programs


@pytest.fixture(scope="session")
def engine() -> Podman:
    reason = missing()
    if reason and os.environ.get("CI"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)
    return images()


@pytest.fixture(scope="session")
def lan(engine: Podman) -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture(scope="session")
def store(lan: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Run a gateway that containers and hosts can reach."""
    absent = missing_programs()
    if absent and os.environ.get("CI"):
        pytest.fail(f"no Ceph here: {absent}")
    if absent:
        pytest.skip(f"no Ceph here: {absent}")
    with gateway(tmp_path_factory.mktemp("ceph"), lan.address) as running:
        yield running


@pytest.fixture
def place(store: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a fresh bucket on that gateway."""
    return fresh_bucket(store, monkeypatch)


@pytest.fixture(scope="session")
def storage_env(store: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the gateway's address and credentials for containers, in the form of `storage.env`."""
    file = tmp_path_factory.mktemp("settings") / "storage.env"
    file.write_text(
        f"AWS_ENDPOINT_URL={store.endpoint}\n"
        f"AWS_ACCESS_KEY_ID={store.access_key}\n"
        f"AWS_SECRET_ACCESS_KEY={store.secret_key}\n"
    )
    return file

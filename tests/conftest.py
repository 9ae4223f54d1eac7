"""Shared fixtures.

`ceph`: a real object gateway, one per session; `bucket`: a fresh bucket in it; `moto`: a fresh bucket of a
simulated server that starts at once. The last two set the AWS environment for the test and return `s3://bucket`.
`tracking_tables`: a workspace with MLflow's empty tables, which tests copy because creating them takes seconds.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from infra.settings import Settings
from infra.tracking.registry import Registry
from infra.tracking.server import ModelNotFound
from tests.support.servers.ceph import Gateway, gateway, missing_programs


def pytest_configure() -> None:
    """Let the programs under test receive Ctrl-C, which jobs in a shell's background and their children ignore."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "ceph" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.ceph)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    missing = missing_programs()
    if missing:
        reason = f"no Ceph here: {', '.join(missing)} (apt-get install radosgw ceph-mon ceph-osd ceph-mgr)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with gateway(tmp_path_factory.mktemp("ceph")) as running:
        yield running


@pytest.fixture(scope="session")
def moto_server() -> Iterator[Gateway]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield Gateway(f"http://{host}:{port}", "testing", "testing")
    server.stop()


@pytest.fixture(scope="session")
def tracking_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("tracking") / "workspace"
    with pytest.raises(ModelNotFound):
        Registry(Settings(workspace=str(home), _env_file=None)).resolve("models:/derain-student@champion")
    return home


@pytest.fixture
def bucket(ceph: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    return fresh_bucket(ceph, monkeypatch)


@pytest.fixture
def moto(moto_server: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    return fresh_bucket(moto_server, monkeypatch)


@pytest.fixture
def no_aws(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Hide the developer's own AWS account and the metadata service."""
    forget_aws(monkeypatch)
    return monkeypatch


def forget_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


def fresh_bucket(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> str:
    forget_aws(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", server.secret_key)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers the credentials of an earlier test
    name = f"derain-{uuid.uuid4().hex[:12]}"
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}"

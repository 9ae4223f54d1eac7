"""Without the run's certificate, nobody can reach a scheduler or worker."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import dask
import httpx
import psutil
import pytest
from distributed import Client, Security

from infra.dask import cluster
from infra.dask import security as security_module
from infra.dask.calls import submit
from infra.dask.closing import SelfClosingClient
from infra.dask.cluster import ClusterUnreachable, connect
from infra.dask.security import CertificatesInvalid, warn_of_plain_tcp
from infra.settings import Settings
from tests.support.servers.ceph import free_ports
from tests.support.servers.certificates import Certificates, written
from tests.support.servers.dask_cluster import dask_cluster


@pytest.fixture(scope="module")
def here() -> Iterator[Client]:
    with connect(Settings(workers=1, _env_file=None)) as client:
        yield client


@pytest.mark.slow
@pytest.mark.parametrize("security", [Security(), Security.temporary()], ids=["none", "another run's"])
def test_a_client_with_other_certificates_is_refused(here: Client, security: Security) -> None:
    ((worker, known),) = here.scheduler_info()["workers"].items()
    for address in (here.scheduler.address, worker, known["nanny"]):
        assert address.startswith("tls://")
        for scheme in ("tls", "tcp"):
            with pytest.raises((OSError, TypeError, RuntimeError)):
                SelfClosingClient(address.replace("tls", scheme), security=security, timeout="2s")
    assert submit(here, len, (1, 2)).result(timeout=60) == 2  # the cluster still works


@pytest.mark.slow
def test_no_http_page_is_served_to_whoever_asks(here: Client) -> None:
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    ports = {
        place.laddr.port
        for process in processes
        for place in process.net_connections()
        if place.status == psutil.CONN_LISTEN
    }
    pages = ("info/main/workers.html", "metrics")
    answers = [_status(f"http://127.0.0.1:{port}/{page}") for port in ports for page in pages]
    assert ports
    assert set(answers) <= {None, 404}


@pytest.mark.slow
def test_a_remote_cluster_with_certificates_is_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    certificates = written(Security.temporary(), tmp_path / "certificates")
    with dask_cluster(tmp_path / "dask", workers=1, certificates=certificates) as elsewhere:
        assert elsewhere.address.startswith("tls://")
        with connect(Settings(**certificates.settings(elsewhere.address), _env_file=None)) as client:
            assert submit(client, len, (1, 2)).result(timeout=180) == 2
        others = written(Security.temporary(), tmp_path / "others")
        with pytest.raises(ClusterUnreachable, match=elsewhere.address) as raised:
            _enter(others, elsewhere.address)
    assert "\n" not in str(raised.value)
    assert "without TLS" not in caplog.text


def test_a_tls_address_without_certificates_is_refused() -> None:
    with pytest.raises(CertificatesInvalid, match=r"no certificates: set DERAIN_TLS_CA to the path of a PEM"):
        _connect(cluster="tls://127.0.0.1:1")


def test_a_certificate_that_is_not_there_or_is_none_is_named(tmp_path: Path) -> None:
    certificates = written(Security.temporary(), tmp_path)
    certificates.key.write_text("no key")
    with pytest.raises(CertificatesInvalid, match=r"cannot be used \(.*key.pem"):
        _enter(certificates, "tls://127.0.0.1:1")
    certificates.key.unlink()
    with pytest.raises(CertificatesInvalid, match=r"key.pem: no such file"):
        _enter(certificates, "tls://127.0.0.1:1")


def test_certificates_of_dasks_own_configuration_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = written(Security.temporary(), tmp_path)
    files = {
        "ca-file": certificates.certificate,
        "client.cert": certificates.certificate,
        "client.key": certificates.key,
    }
    tls = {f"distributed.comm.tls.{name}": str(path) for name, path in files.items()}
    address = f"tls://127.0.0.1:{free_ports(1)[0]}"
    with dask.config.set(tls), pytest.raises(ClusterUnreachable, match=address):
        _connect(cluster=address)


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://192.0.2.1:8786", True),
        ("tcp://10.0.0.7:8786", True),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("tcp://localhost:8786", False),
        ("tls://192.0.2.1:8786", False),
    ],
)
def test_plain_tcp_beyond_this_machine_is_warned_of(
    address: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_plain_tcp(address)
    assert (f"{address}: connected without TLS" in caplog.text) == warned


def test_a_connection_to_plain_tcp_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_scheduler(*_: object, **__: object) -> None:
        raise OSError("no scheduler")

    monkeypatch.setattr(security_module, "_is_loopback", lambda host: False)  # as beyond this machine
    monkeypatch.setattr(cluster, "SelfClosingClient", no_scheduler)
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.raises(ClusterUnreachable):
        _connect(cluster=f"tcp://127.0.0.1:{listening.getsockname()[1]}")
    assert "connected without TLS" in caplog.text


def _enter(certificates: Certificates, address: str) -> None:
    _connect(**certificates.settings(address))


def _connect(**settings: str) -> None:
    with connect(Settings(**settings, _env_file=None)):
        raise AssertionError("connected")


def _status(url: str) -> int | None:
    try:
        return httpx.get(url, timeout=10).status_code
    except httpx.TransportError:  # the server uses TLS
        return None

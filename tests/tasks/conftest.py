"""Dask workers for the whole session, a fresh world for each test, and a missing Prefect server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import prefect.artifacts
import pytest

from infra.dask.cluster import connect
from infra.settings import Settings
from tasks import prefect_runs
from tasks.pool import publication as ingest_publication
from tests.support.servers.certificates import written
from tests.support.worlds.batch import World


@pytest.fixture(scope="session")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Yield settings with two worker processes that outlive a run, like those of a cluster."""
    with connect(Settings(workers=2, _env_file=None)) as client:
        certificates = written(client.security, tmp_path_factory.mktemp("certificates"))
        yield certificates.settings(client.scheduler.address)


@pytest.fixture
def new_world(tmp_path: Path, scheduler: dict[str, str]) -> Callable[..., World]:
    """Return a function that makes worlds by name, in a folder of the test, with optional settings."""

    def new(name: str = "world", **settings: object) -> World:
        root = tmp_path / name
        root.mkdir()
        chosen = {"shard_images": 3, "wave_shards": 1, **scheduler, "lease_seconds": 30.0}
        workspace = {"workspace": str(root / "workspace"), "_env_file": None}
        return World(root, Settings(**{**workspace, **chosen, **settings}))

    return new


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()


@pytest.fixture(autouse=True)
def no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget that an earlier test's server did not answer."""
    monkeypatch.setattr(prefect_runs, "_silence", prefect_runs._Silence())


def _gone(*_: Any, **__: Any) -> None:
    raise httpx.ConnectError("connection refused")


@pytest.fixture
def without_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the Prefect server, and use a log that pytest can read."""
    monkeypatch.setattr(prefect_runs, "is_in_flow_run", lambda: True)
    monkeypatch.setattr(
        prefect_runs, "SILENT_SECONDS", 0.0
    )  # each report is attempted, so that each failure is visible
    monkeypatch.setattr(prefect_runs, "run_log", lambda: logging.getLogger("derain"))
    for artifact in ("link", "markdown", "table"):
        monkeypatch.setattr(prefect.artifacts, f"create_{artifact}_artifact", _gone)
    monkeypatch.setattr(ingest_publication, "create_table_artifact", _gone)
    monkeypatch.setattr(ingest_publication, "create_markdown_artifact", _gone)

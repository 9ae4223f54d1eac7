"""Dask workers for the whole session, and a fresh world for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.cluster import connect
from infra.settings import Settings
from tests.batch_worlds import World


@pytest.fixture(scope="session")
def scheduler() -> Iterator[str]:
    """The address of two worker processes that outlive a run, as those of a cluster do."""
    with connect(Settings(workers=2, _env_file=None)) as client:
        yield client.scheduler.address


@pytest.fixture
def new_world(tmp_path: Path, scheduler: str) -> Callable[..., World]:
    """Makes worlds below a folder of the test, by name; settings may be given."""

    def new(name: str = "world", **settings: object) -> World:
        root = tmp_path / name
        root.mkdir()
        chosen = {"shard_images": 3, "wave_shards": 1, "cluster": scheduler, "lease_seconds": 30.0}
        workspace = {"workspace": str(root / "workspace"), "_env_file": None}
        return World(root, Settings(**{**workspace, **chosen, **settings}))

    return new


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()

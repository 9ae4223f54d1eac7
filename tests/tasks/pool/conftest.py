"""`cameras`: ingested photographs of three cameras; `undisturbed`: their pool; `again`: the same without a pool."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.worlds.ingest import IMAGES, IngestWorld, Left, new_world


@pytest.fixture
def world(tmp_path: Path) -> IngestWorld:
    return new_world(tmp_path)


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> IngestWorld:
    """Return photographs of three cameras, ingested by an undisturbed run."""
    world = new_world(tmp_path_factory.mktemp("undisturbed"))
    world.put_cameras(IMAGES)
    assert world.ingest().state == "Completed"
    return world


@pytest.fixture
def again(cameras: IngestWorld, tmp_path: Path) -> IngestWorld:
    """Return the same photographs with another, empty pool."""
    settings = cameras.settings.model_copy(update={"workspace": str(tmp_path / "workspace")})
    return IngestWorld(cameras.root, settings)


@pytest.fixture(scope="module")
def undisturbed(cameras: IngestWorld) -> Left:
    return cameras.left()

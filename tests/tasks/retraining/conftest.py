"""`settings`: the settings of a workspace with a pool of two crops."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.support.worlds.pools import rainy_crops, settings_of, write_pool


@pytest.fixture(scope="module")
def founded(tracking_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace with a pool of two crops."""
    home = tmp_path_factory.mktemp("founded") / "workspace"
    shutil.copytree(tracking_tables, home)
    write_pool(home, rainy_crops(2))
    return home


@pytest.fixture
def settings(founded: Path, tmp_path: Path) -> Settings:
    shutil.copytree(founded, tmp_path / "workspace")
    return settings_of(tmp_path / "workspace")

"""`root`: a folder with workspace and validation set; `settings`: the settings of its workspace."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infra.settings import Settings
from tests.support.worlds.promotion import settings_of, write_validation


@pytest.fixture(scope="module")
def validation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("validation")
    write_validation(folder)
    return folder


@pytest.fixture
def root(tracking_tables: Path, validation: Path, tmp_path: Path) -> Path:
    shutil.copytree(tracking_tables, tmp_path / "workspace")
    shutil.copytree(validation, tmp_path / "validation")
    return tmp_path


@pytest.fixture
def settings(root: Path) -> Settings:
    return settings_of(root)

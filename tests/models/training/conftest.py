"""`data`: a small training folder; `out`: an empty folder for the output of a training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.worlds.rainy import write_training_folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("data"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path

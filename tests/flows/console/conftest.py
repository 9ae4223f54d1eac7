"""A folder of rainy photographs in the working directory, without settings of ours."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.servers.deployments import put_photos


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory, with three photographs in `rainy`."""
    for name in [name for name in os.environ if name.startswith("DERAIN_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    put_photos(tmp_path / "rainy", 3)
    return tmp_path

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from models.modelfile import write_model_file
from tests.support.samples.model_files import PACKED


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Use one thread: with tiny networks and images, more threads only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a written model file."""
    path = tmp_path / "models" / "rain fighter.safetensors"
    write_model_file(PACKED, path)
    return path

"""`material`: data, photographs and networks of distillations; `founded`: a workspace with a champion."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from infra.settings import Settings
from models.modelfile import pack, write_model_file
from tests.support.samples.networks import random_network
from tests.support.worlds.promotion import found
from tests.support.worlds.rainy import noise, write_training_folder


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data, unlabelled photographs and small networks."""
    root = tmp_path_factory.mktemp("material")
    write_training_folder(root / "data")
    (root / "rainy").mkdir()
    for seed in range(2):
        Image.fromarray(noise(40, 48, 3, seed=seed).numpy()).save(root / "rainy" / f"{seed}.png")
    (root / "rainy" / "torn.png").write_bytes(b"no picture")
    for name in ("afr-net-tiny", "student-tiny"):
        write_model_file(pack(random_network(name), {}), root / f"{name}.safetensors")
    return root


@pytest.fixture(scope="module")
def founded(tracking_tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace whose champion is a tiny student, for tests to copy."""
    home = tmp_path_factory.mktemp("founded") / "workspace"
    shutil.copytree(tracking_tables, home)
    found(Settings(workspace=str(home), _env_file=None), pack(random_network("student-tiny", seed=7), {}))
    return home

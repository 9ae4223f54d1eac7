"""`world`: a workspace and curations in it, with probes small enough for the crops of tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tasks.curation import judging
from tests.support.worlds.curations import CurationWorld


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[CurationWorld]:
    monkeypatch.setattr(judging, "PROBED_SIDE", 64)
    threads = torch.get_num_threads()
    yield CurationWorld(tmp_path)
    torch.set_num_threads(threads)

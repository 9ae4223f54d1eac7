"""`derain`: a function that derains images in memory."""

from __future__ import annotations

import pytest

from infra.records import ImageRef
from tasks.batch.shards import derain_shard
from tasks.waves.stage import Shard, ShardResult
from tests.support.worlds.shards import JOB, Derain, Inverter, Memory


@pytest.fixture
def derain(monkeypatch: pytest.MonkeyPatch) -> Derain:
    """Return a function that derains images in memory: `derain(keys, memory, engine)`."""

    def run(keys: str, memory: Memory, engine: Inverter | None = None) -> ShardResult:
        monkeypatch.setattr("tasks.batch.shards.open_medium", lambda spec: memory)
        monkeypatch.setattr("tasks.batch.shards.loaded_engine", lambda *model: engine or Inverter(1))
        return derain_shard(JOB, Shard(0, tuple(ImageRef(key, f"etag-{key}", 1) for key in keys), False))

    return run

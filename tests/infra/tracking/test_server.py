from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from infra.settings import Settings
from infra.tracking import server as server_module
from infra.tracking.server import TrackingServer, TrackingUnreachable


def test_a_lock_that_is_never_released_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(server_module, "LOCK_SECONDS", 0.2)
    server = TrackingServer(Settings(workspace=str(tmp_path), _env_file=None))
    with (tmp_path / "mlflow.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with (
            pytest.raises(TrackingUnreachable, match=r"mlflow\.lock: another process has held"),
            server.locked(),
        ):
            pytest.fail("it is not ours")
    with server.locked():
        pass  # the lock is free again

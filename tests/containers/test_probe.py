"""The probe that checks whether this machine can run containers, before minutes of building images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support.servers.server_processes import ROOT


def test_a_machine_without_podman_is_reported_in_one_line(tmp_path: Path) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "DERAIN_TEST_CONTAINERS": str(tmp_path / "store")}
    command = [sys.executable, "-m", "tests.support.containers.probe"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 1
    (reason,) = ended.stderr.splitlines()
    assert reason.startswith("no containers here: podman, buildah")

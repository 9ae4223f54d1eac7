"""Ctrl-C while a command imports its packages prints one line, not the traceback of an import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers.server_processes import PATIENCE, ROOT, wait_for


@pytest.mark.slow
@pytest.mark.parametrize("module", ["flows.console", "flows.derain_batch", "flows.status"])
def test_ctrl_c_while_packages_are_imported_is_one_line(module: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", module, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PREFECT_HOME": str(tmp_path / "prefect")},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    maps = Path(f"/proc/{process.pid}/maps")
    wait_for(lambda: "pydantic_core" in maps.read_text(), "nothing is imported", pause=0.001)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=PATIENCE) == ("", "interrupted; run it again to continue\n")
    assert process.returncode == 130

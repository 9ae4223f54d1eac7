"""Flows as run from a shell: derain-batch, or another one by the name of its module."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping

from tests.support.servers.server_processes import PATIENCE, ROOT


def started(environment: Mapping[str, str], *words: str, flow: str = "derain_batch") -> subprocess.Popen[str]:
    """Start it in its own process group, without ignoring Ctrl-C as a shell's `&` would."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", f"flows.{flow}", *words],
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def typed(environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """Run derain-batch to completion."""
    return subprocess.run(
        [sys.executable, "-m", "flows.derain_batch", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

"""derain-batch as it is typed in a shell."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping

from tests.support.servers.server_processes import PATIENCE, ROOT


def started(environment: Mapping[str, str], *words: str) -> subprocess.Popen[str]:
    """Start it in a process group of its own, with Ctrl-C not ignored, as it is below a shell's `&`."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.derain_batch", *words],
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
    """Run it to its end."""
    return subprocess.run(
        [sys.executable, "-m", "flows.derain_batch", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

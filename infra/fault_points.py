"""Places where a test may kill a process, so that what a crash leaves behind can be looked at.

`DERAIN_FAULT="after-put:group:/tmp/token"` kills this process's group (or `self` alone) with SIGKILL when the
point `after-put` is passed, once: the token file is taken away by whoever gets there first. Unset, a fault
point costs one look into the environment.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

VARIABLE = "DERAIN_FAULT"


def fault_point(name: str) -> None:
    """Die here if a test asked for it."""
    asked = os.environ.get(VARIABLE)
    if asked is None or not asked.startswith(f"{name}:"):
        return
    _, whom, token = asked.split(":", 2)
    try:
        Path(token).unlink()
    except FileNotFoundError:
        return
    os.kill(0 if whom == "group" else os.getpid(), signal.SIGKILL)

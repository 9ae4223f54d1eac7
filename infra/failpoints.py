"""Places where a test may kill a process or let it hang, so that what comes of it can be looked at.

`DERAIN_FAULT="after-put:group:/tmp/token"` kills this process's group (or `self` alone) with SIGKILL when the
point `after-put` is passed, once: the token file is taken away by whoever gets there first. Without a token it
kills each time. `after-put=a/b.jpg:self` does so for that key alone; `decode:hang` lets the thread wait for ever,
`decode:slow:0.3` for this many seconds. Unset, a fault point costs one look into the environment.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

VARIABLE = "DERAIN_FAULT"


def failpoint(name: str, key: str = "") -> None:
    """Die or hang here if a test asked for it.

    Parameters
    ----------
    name : str
        The place.
    key : str
        What is being worked on, where a test may choose by it.
    """
    asked = os.environ.get(VARIABLE)
    if asked is None or not asked.startswith(name):
        return
    where, _, rest = asked.partition(":")
    whom, _, token = rest.partition(":")
    if where not in (name, f"{name}={key}"):
        return
    if whom == "slow":
        time.sleep(float(token))
        return
    if not _may_fire(token):
        return
    if whom == "hang":
        threading.Event().wait()
    os.kill(0 if whom == "group" else os.getpid(), signal.SIGKILL)


def _may_fire(token: str) -> bool:
    if not token:
        return True
    try:
        Path(token).unlink()
    except FileNotFoundError:
        return False
    return True

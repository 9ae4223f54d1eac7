"""Failpoints, named places where a test may kill a process or make it hang, to check the state that this leaves.

`DERAIN_FAULT="after-put:group:/tmp/token"` kills the group of this process (with `self`, only the process) with
SIGKILL when it reaches the failpoint `after-put`. This happens once: the first process to arrive removes the token
file. Without a token it happens every time. `after-put=a/b.jpg:self` applies to that key only. `decode:hang` makes
the thread wait for ever, `decode:slow:0.3` makes it wait for 0.3 seconds, and `before-commit:stop` stops the
process until it receives SIGCONT. If the variable is unset, a failpoint costs one look-up in the environment.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

VARIABLE = "DERAIN_FAULT"


def failpoint(name: str, key: str = "") -> None:
    """Die, hang or wait here if a test has asked for it.

    Parameters
    ----------
    name : str
        Name of the failpoint.
    key : str
        Key of the object that is being processed, so that a test can select it.
    """
    setting = os.environ.get(VARIABLE)
    if setting is None or not setting.startswith(name):
        return
    where, _, rest = setting.partition(":")
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
    sent = signal.SIGSTOP if whom == "stop" else signal.SIGKILL
    os.kill(0 if whom == "group" else os.getpid(), sent)


def _may_fire(token: str) -> bool:
    if not token:
        return True
    try:
        Path(token).unlink()
    except FileNotFoundError:
        return False
    return True

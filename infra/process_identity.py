"""`Holder`, the identity of a process in a form that another process can check."""

from __future__ import annotations

import functools
import os
import socket
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self
from uuid import getnode

import psutil

_START_TOLERANCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Holder:
    """The identity of a process: where it runs, and how to recognise it there."""

    host: str
    """Name of the host, for people only: two machines may share one."""
    machine: str
    """16 hex digits that identify this boot of the machine and its PID namespace (a container has its own)."""
    pid: int
    started: float
    """Seconds from boot to the start of the process: process ids are reused, but not together with this."""

    @classmethod
    def this_process(cls) -> Self:
        """Describe the calling process."""
        return cls(socket.gethostname(), _machine(), os.getpid(), _started(psutil.Process()))

    def is_dead(self) -> bool:
        """Return whether the process is known to have ended; nothing is known about other machines."""
        if self.machine != _machine():
            return False
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
            return abs(_started(process) - self.started) > _START_TOLERANCE_SECONDS
        except psutil.NoSuchProcess:
            return True
        except psutil.AccessDenied:
            return False


def _started(process: psutil.Process) -> float:
    # Relative to boot, not to 1970: setting the clock must not make a live process look like another one.
    return float(process.create_time() - psutil.boot_time())


@functools.cache
def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        machine = f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # not Linux
        machine = f"{getnode():012x}"
    return sha256(machine.encode()).hexdigest()[:16]

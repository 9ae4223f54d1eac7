"""Servers in processes of their own: started, asked until they answer, and ended with all that they started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import psutil

T = TypeVar("T")
ROOT = Path(__file__).parents[3]
PATIENCE = 240.0
"""Seconds after which something that should happen on a busy machine is taken not to happen any more."""
TOLD = 4000
"""Characters of a server's log that a failed test shows."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A server that runs, and where it writes its log."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for_answer(self, url: str) -> None:
        """Ask it until it answers; where it never will, the error shows its log."""
        try:
            wait_for(lambda: self._answers(url), f"{url} does not answer")
        except (ChildProcessError, TimeoutError) as error:
            error.add_note(self.log.read_text(errors="replace")[-TOLD:])
            raise

    def _answers(self, url: str) -> bool:
        if self.process.poll() is not None:
            raise ChildProcessError(f"{self.process.args!r} ended with {self.process.returncode}")
        try:
            return httpx.get(url, timeout=5).is_success
        except httpx.TransportError:
            return False


@contextmanager
def running(
    command: list[str], environment: Mapping[str, str], log: Path, folder: Path = ROOT
) -> Iterator[ServerProcess]:
    """Run a server in a folder; it and all that it started end with the block."""
    # A killed test run must not leave a server behind: the kernel ends it with its parent.
    tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*tied, *command],
            cwd=folder,
            env=dict(environment),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield ServerProcess(process, log)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, which would outlive it: its group, and children with another one."""
    with suppress(psutil.NoSuchProcess):  # it may have ended by itself
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(found: Callable[[], T | None], what: str, pause: float = 0.2) -> T:
    """Ask again and again until there is an answer that is true."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = found()
        if answer:
            return answer
        time.sleep(pause)
    raise TimeoutError(what)

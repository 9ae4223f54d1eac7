"""Servers in their own processes, which are polled until they answer and killed with all their children."""

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
"""Seconds after which an expected event counts as failed, even on a busy machine."""
SHOWN_CHARACTERS = 4000
"""Number of characters of a server's log that a failing test shows."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server and its log file."""

    process: subprocess.Popen[bytes]
    log: Path

    def wait_for_answer(self, url: str) -> None:
        """Poll the server until it answers; if it never will, raise an error that shows its log."""
        try:
            wait_for(lambda: self._answers(url), f"{url} does not answer")
        except (ChildProcessError, TimeoutError) as error:
            error.add_note(self.log.read_text(errors="replace")[-SHOWN_CHARACTERS:])
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
    """Run a server in a folder; kill it and all its children after the block."""
    # A killed test run must not leave a server running: the kernel kills it with its parent.
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
    """Kill a process and everything that it started: its process group, and children in other groups."""
    with suppress(psutil.NoSuchProcess):  # it may have exited by itself
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(found: Callable[[], T | None], what: str, pause: float = 0.2) -> T:
    """Poll until the answer is true, and return it."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        answer = found()
        if answer:
            return answer
        time.sleep(pause)
    raise TimeoutError(what)


def slow_spawns(folder: Path) -> dict[str, str]:
    """Return the variable by which all processes that multiprocessing spawns take ten seconds to start."""
    script = "import sys, time\nif any('spawn_main' in word for word in sys.orig_argv):\n    time.sleep(10)\n"
    (folder / "sitecustomize.py").write_text(script)
    return {"PYTHONPATH": str(folder)}

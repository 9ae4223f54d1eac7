"""Prefect's temporary server, with what it writes kept out of the terminal."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import IO, Any

import httpx
from prefect.server.api.server import SubprocessASGIServer

PORT_TAKEN = 3
"""Exit code of a server that found its port in use; another one is then taken."""
POLL_SECONDS = 0.1
LONGEST_WORDS = 200
_TAIL_BYTES = 4096


class TemporaryServer(SubprocessASGIServer):
    """The one that Prefect's clients use when no server is set: they find this instance instead of their own."""

    log: IO[bytes] | None = None

    def answers_within(self, seconds: float) -> bool:
        """Start the server, unless it runs already, and wait until it answers.

        `start` of Prefect itself waits for all its time where the server has ended, and gives up where it is slow.

        Returns
        -------
        bool
            False if the server ended by itself, or did not answer in time.
        """
        if self.running:
            return True
        self.running = True
        self._run_on_free_port()
        atexit.register(self.stop)
        until = time.monotonic() + seconds
        with httpx.Client() as client:
            while time.monotonic() < until:
                with suppress(httpx.TransportError):
                    if client.get(f"{self.api_url}/health").is_success:
                        return True
                ended = self.server_process.poll() if self.server_process else None
                if ended == PORT_TAKEN:
                    self._run_on_free_port()
                elif ended is not None:
                    return False
                time.sleep(POLL_SECONDS)
        return False

    def _run_on_free_port(self) -> None:
        self.port = self.find_available_port()
        self.server_process = self._run_uvicorn_command()

    def last_words(self) -> str:
        """Return the last line that the server wrote, or that there is none."""
        if self.log is None:
            return "it was not started"
        self.log.seek(max(self.log.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
        lines = self.log.read().decode(errors="replace").split("\n")
        words = [" ".join(line.split()) for line in lines if line.strip()]
        return words[-1][:LONGEST_WORDS] if words else "it said nothing"

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        # Prefect lets its server inherit our standard error: a server that fails would fill the terminal.
        self.log = self.log or tempfile.TemporaryFile(prefix="derain-prefect-")  # noqa: SIM115 - as long as we
        kept = os.dup(2)
        os.dup2(self.log.fileno(), 2)
        try:
            return super()._run_uvicorn_command()
        finally:
            os.dup2(kept, 2)
            os.close(kept)

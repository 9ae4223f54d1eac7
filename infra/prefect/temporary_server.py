"""The temporary Prefect server of a run that has no other server; it exits with its run, even if that is killed.

Prefect stops its server when the run's interpreter exits, which does not happen after SIGKILL. Here, the server
reads a pipe whose other end only the run holds: the kernel closes it however the run ends.

`python -m infra.prefect.temporary_server PORT` runs that server.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from typing import IO, Any

import httpx
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""Variables that Prefect sets for its own temporary server."""


PORT_TAKEN = 3
"""Exit code of a server that found its port in use; another port is then tried."""
POLL_SECONDS = 0.1
LONGEST_WORDS = 200
_TAIL_BYTES = 4096


class TemporaryServer(SubprocessASGIServer):
    """Prefect's temporary server, in a process that never outlives its run and does not write to the terminal.

    It is not in the run's process group, because a terminal sends Ctrl-C to that whole group, and the run still
    reports to its server that it was interrupted.

    Prefect keeps one instance per port and starts the first one created, of whichever class.
    """

    log: IO[bytes] | None = None

    def answers_within(self, seconds: float) -> bool:
        """Start the server unless it is already running, and wait until it answers.

        Prefect's own `start` waits for its full time-out even if the server has exited, and gives up on a slow
        server.

        Returns
        -------
        bool
            False if the server exited or did not answer in time.
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

    def last_words(self) -> str:
        """Return the last line that the server wrote, or say that there is none."""
        if self.log is None:
            return "it was not started"
        self.log.seek(max(self.log.seek(0, os.SEEK_END) - _TAIL_BYTES, 0))
        lines = self.log.read().decode(errors="replace").split("\n")
        words = [" ".join(line.split()) for line in lines if line.strip()]
        return words[-1][:LONGEST_WORDS] if words else "it wrote nothing"

    def _run_on_free_port(self) -> None:
        self.port = self.find_available_port()
        self.server_process = self._run_uvicorn_command()

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        self.log = self.log or tempfile.TemporaryFile(prefix="derain-prefect-")  # noqa: SIM115 - as long as we
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(
            command(self.port),
            env={**os.environ, **_ENVIRONMENT, **settings},
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            process_group=0,
        )


def command(port: int | None) -> list[str]:
    """Return the command that runs the server on a port."""
    return [sys.executable, "-m", "infra.prefect.temporary_server", str(port)]


def main() -> None:
    """Serve Prefect's API until the process at the other end of standard input exits."""
    import uvicorn

    threading.Thread(target=_end_with_parent, name="end with parent", daemon=True).start()
    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        continue
    os._exit(1)


if __name__ == "__main__":
    main()

"""The temporary Prefect server of a run that has no other one: it ends with its run, even one that is killed.

Prefect stops it when the run's interpreter exits, which SIGKILL does not wait for. Here the server reads a pipe
whose other end only the run holds: the kernel closes it, whatever the run dies of.

`python -m infra.temporary_server PORT` is that server.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import get_current_settings

_ENVIRONMENT = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect sets for its own temporary server."""


class TemporaryServer(SubprocessASGIServer):
    """Prefect's temporary server, in a process that outlives no run.

    Prefect keeps one instance for each port: the first one made, of whichever class, is the one it starts.
    """

    def _run_uvicorn_command(self) -> subprocess.Popen[Any]:
        settings = get_current_settings().to_environment_variables(exclude_unset=True)
        return subprocess.Popen(
            [sys.executable, "-m", "infra.temporary_server", str(self.port)],
            env={**os.environ, **_ENVIRONMENT, **settings},
            stdin=subprocess.PIPE,
        )


def main() -> None:
    """Serve Prefect's API until the process at the other end of standard input is gone."""
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

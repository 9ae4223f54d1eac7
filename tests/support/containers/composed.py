"""The installation of compose.yaml, run by podman-compose under its own project name on loopback."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.support.containers.containers import DERAIN, POSTGRES, Podman
from tests.support.servers.prefect_server import PATIENCE
from tests.support.servers.server_processes import ROOT, wait_for

LISTEN = "127.77.15.1"
"""A loopback address that nothing else on this machine uses."""


@dataclass(frozen=True, slots=True)
class Installation:
    """A running installation."""

    engine: Podman
    words: tuple[str, ...]
    data: Path

    def compose(self, *words: str) -> str:
        """Run a compose command that must succeed."""
        return self.engine.done(*self.words, *words, seconds=PATIENCE * 2)

    def execute(self, service: str, *words: str) -> str:
        """Run a command in a service's container."""
        return self.compose("exec", "-T", service, *words)

    def log(self, service: str) -> str:
        """Return the output of a service."""
        return self.compose("logs", service)

    def is_deployed(self) -> bool:
        """Return whether the one-shot service has registered derain-batch."""
        try:
            asked = httpx.get(f"{self.prefect_url}/deployments/name/derain-batch/derain-batch", timeout=30)
        except httpx.TransportError:
            return False
        return asked.is_success

    @property
    def prefect_url(self) -> str:
        return f"http://{LISTEN}:4200/api"

    @property
    def mlflow_url(self) -> str:
        return f"http://{LISTEN}:5000"


@contextmanager
def installation(
    engine: Podman, folder: Path, storage: Path, settings: Mapping[str, str]
) -> Iterator[Installation]:
    """Start all services with two workers; remove them and their volumes after the block."""
    name = f"derain-{secrets.token_hex(4)}"
    (folder / "data").mkdir()
    (folder / "data").chmod(0o777)
    (folder / "storage.env").write_text(storage.read_text())
    (folder / "deploy").symlink_to(ROOT / "deploy")
    compose = folder / "compose.yaml"
    compose.write_text((ROOT / "compose.yaml").read_text())
    environment = {
        **engine.environment,
        "POSTGRES_PASSWORD": secrets.token_hex(12),
        "POSTGRES_IMAGE": POSTGRES,
        "DERAIN_IMAGE": DERAIN,
        "DERAIN_DATA": str(folder / "data"),
        "DERAIN_LISTEN": LISTEN,
        **settings,
    }
    words = (
        "podman-compose",
        "--project-name",
        name,
        "--file",
        str(compose),
        "--podman-run-args=--pull=never",
    )
    made = Installation(replace(engine, environment=environment), words, folder / "data")
    try:
        made.compose("up", "--detach", "--scale", "worker=2")
        wait_for(made.is_deployed, "no deployments are registered", 2)
        yield made
    finally:
        made.compose("down", "--volumes", "--timeout", "1")

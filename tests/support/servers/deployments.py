"""Deployments of derain-batch on a server for tests, and observations of their runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.samples.images import encoded, picture
from tests.support.servers.prefect_server import PrefectServer

IMAGES = 100
"""Number of images, each in its own wave, so that the run takes long enough to be watched."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A server with the deployment, and the folders that its worker uses."""

    server: PrefectServer
    root: Path
    deployment: dict[str, Any]
    every_minute: dict[str, Any]


@dataclass(slots=True)
class Watched:
    """Observations of a run and of another that was started meanwhile."""

    run: dict[str, Any]
    second: dict[str, Any]
    warning: str
    """Stderr of the command that started the other run."""
    progress: list[float] = field(default_factory=list)
    """Successive values of the run's progress artifact."""


def put_photos(folder: Path, number: int) -> list[str]:
    """Write small photographs; return their names."""
    folder.mkdir(parents=True)
    names = [f"{index:03d}.png" for index in range(number)]
    for index, name in enumerate(names):
        (folder / name).write_bytes(encoded(picture("RGB", seed=index, height=48, width=64), "PNG"))
    return names


def worker_settings(root: Path) -> dict[str, str]:
    return {
        "DERAIN_SOURCE": str(root / "rainy"),
        "DERAIN_DESTINATION": str(root / "derained"),
        "DERAIN_WORKSPACE": str(root / "workspace"),
        "DERAIN_WORKERS": "1",
        "DERAIN_SHARD_IMAGES": "1",
        "DERAIN_WAVE_SHARDS": "1",
    }


def copy_every_minute(server: PrefectServer, root: Path, deployment: dict[str, Any]) -> dict[str, Any]:
    """Deploy a copy with another schedule and its own folders."""
    put_photos(root / "scheduled" / "rainy", 2)
    same = ("flow_id", "entrypoint", "path", "pull_steps", "work_pool_name", "parameter_openapi_schema")
    copied: dict[str, Any] = server.post(
        "deployments/",
        name="every-minute",
        schedules=[{"schedule": {"cron": "* * * * *", "timezone": "UTC"}, "active": True}],
        job_variables={"env": worker_settings(root / "scheduled")},
        **{name: deployment[name] for name in same},
    )
    return copied

"""The image `derain` is small, and works without the files that were removed from it."""

from __future__ import annotations

import json

import pytest

from tests.support.containers.containers import DERAIN, Podman

pytestmark = [pytest.mark.containers, pytest.mark.slow]
LARGEST = 2_000_000_000
"""Maximum size in bytes with the replacement for python:3.11-slim, which is 115 MB larger than the original."""
IMPORT_ALL = """
import importlib, pkgutil
import flows, infra, models, tasks
ours = [each.name for room in (flows, infra, models, tasks)
        for each in pkgutil.walk_packages(room.__path__, room.__name__ + ".")]
servers = ["mlflow.server.fastapi_app", "prefect.server.api.server", "distributed.dashboard.scheduler"]
programs = ["distributed.cli.dask_worker", "distributed.cli.dask_scheduler"]
drivers = ["psycopg2", "asyncpg.protocol.protocol"]
for name in [name for name in ours if not name.endswith("__main__")] + servers + programs + drivers:
    importlib.import_module(name)
print(len(ours))
"""


def test_every_module_of_ours_and_the_servers_can_be_imported(engine: Podman) -> None:
    hardened = ("--network", "none", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all")
    printed = engine("run", "--rm", "--pull", "never", *hardened, DERAIN, "python", "-c", IMPORT_ALL)
    assert int(printed.splitlines()[-1]) > 200


def test_it_is_small(engine: Podman) -> None:
    (found,) = json.loads(engine("image", "inspect", DERAIN))
    assert found["Size"] < LARGEST

"""Connection to Dask workers: processes on this machine, or those of a remote scheduler. Start at `connect`."""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import os
import socket
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, WorkerPlugin
from distributed.comm import parse_address, parse_host_port
from distributed.comm.registry import get_backend

from infra.dask.closing import SelfClosingClient, closing_client
from infra.dask.local_cluster import local_cluster, local_workers
from infra.dask.security import remote_security, warn_of_plain_tcp
from infra.dask.versions import compare_versions, without_version_tables
from infra.errors import UserError
from infra.settings import Settings

CONNECT_SECONDS = 10.0
"""Maximum time for connecting to a scheduler, in seconds."""
ANSWER_SECONDS = 60.0
"""Maximum time to wait for a scheduler to describe its workers, in seconds."""
PACKAGES = ("tasks", "models", "infra")
"""Packages that are sent to remote workers, so that the workers run the coordinator's code."""
ROOT = Path(__file__).parents[2]
"""Folder that contains these packages."""

_WORKER_ENVIRONMENT = {
    # Freed activations stay in the process instead of going back to the system page by page: up to twice as fast.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "OMP_NUM_THREADS": "1",
    # A heartbeat lost while the cluster closes is logged as an error with a traceback; errors that matter come back
    # with the tasks. The configuration below comes too late for this.
    "DASK_LOGGING__DISTRIBUTED": "critical",
}
_ALLOWED_FAILURES = 2
"""Number of times that a shard may lose its worker before the shard is assumed to be the cause."""


class ClusterUnreachable(UserError):
    """The Dask scheduler does not answer, or its versions do not match those of this machine."""


@contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """Yield a client of the cluster that the settings name.

    Yields
    ------
    Client
        Connected to one process per core on this machine (per GPU if `device` is `cuda`), or to
        `settings.cluster`.

    Raises
    ------
    CertificatesInvalid
        If `settings.cluster` is a `tls://` address and there are no certificates for it.
    ClusterUnreachable
        If the scheduler does not answer, or its versions do not match.
    WorkersNotStarted
        If no workers start on this machine.
    """
    for name in ("distributed", "distributed.worker", "distributed.nanny"):
        logging.getLogger(name).setLevel(logging.ERROR)
    # The scheduler logs the tasks that an interrupted run has cancelled. The client logs with a traceback that it
    # lost the scheduler, which a run reports in one line.
    for name in ("distributed.scheduler", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with dask.config.set(_configuration()), _without_main():
        if settings.cluster:
            with _remote(settings, settings.cluster) as client:
                yield client
            return
        with (
            local_cluster(local_workers(settings), settings.shard_resources) as cluster,
            closing_client(SelfClosingClient(cluster)) as client,
        ):
            yield client


def worker_count(client: Client) -> int:
    """Return the number of workers that a cluster has now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def places(client: Client, resources: Mapping[str, float], seconds: float) -> int | None:
    """Return how many shards the workers of a cluster can run at the same time.

    Parameters
    ----------
    client : Client
        From `connect`.
    resources : Mapping[str, float]
        Resources of a worker that a shard takes; if empty, a shard takes a thread.
    seconds : float
        Maximum time to wait for the scheduler.

    Returns
    -------
    int or None
        None if the scheduler does not answer.
    """

    async def identity() -> Any:
        return await client.scheduler.identity(n_workers=-1 if resources else 0)

    if client.status != "running":
        return None
    try:
        found = client.sync(identity, callback_timeout=seconds)
    except OSError:  # TimeoutError too
        return None
    if not resources:
        return int(found["total_threads"])
    return sum(_places_of(worker, resources) for worker in found["workers"].values())


def _places_of(worker: Mapping[str, Any], resources: Mapping[str, float]) -> int:
    offered = [worker["resources"].get(name, 0) // amount for name, amount in resources.items()]
    return int(min(worker["nthreads"], *offered))


def _configuration() -> dict[str, object]:
    return {
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
        "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
        # A task queued behind a shard that kills its worker would be blamed too: keep it queued at the scheduler.
        "distributed.scheduler.worker-saturation": 1.0,
        # A worker that died is restarted. One that takes longer than this is given up permanently, and at the
        # default (15 s) a busy machine loses all of them, one after the other.
        "distributed.deploy.lost-worker-timeout": "1h",
        "distributed.comm.timeouts.connect": "10s",
        # At their defaults (20 ms, 500 ms) these take about 3 % of a core in each idle process.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.worker.profile.enabled": False,  # nobody reads the profile; see also stop_profiler
        # Their HTTP servers do not ask for a certificate: without routes, they serve nothing.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, so that spawned workers do not import it (and Prefect, which takes a second or two)."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), main.__spec__
    main.__file__, main.__spec__ = None, None
    try:
        yield
    finally:
        main.__file__, main.__spec__ = file, spec


@contextmanager
def _remote(settings: Settings, address: str) -> Iterator[Client]:
    security = remote_security(settings)
    try:
        _try_to_connect(address)
        warn_of_plain_tcp(address)
        with without_version_tables():
            client = SelfClosingClient(address, timeout=CONNECT_SECONDS, security=security)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterUnreachable(f"{address}: no Dask scheduler answers there ({error})") from error
    with closing_client(client):
        _check(client, address, settings)
        _send_code(client)
        yield client


def _try_to_connect(address: str) -> None:
    """Raise at once if the address is invalid or nothing listens there; a client would hang or wait."""
    scheme, place = parse_address(address)
    get_backend(scheme)
    with socket.create_connection(parse_host_port(place), timeout=CONNECT_SECONDS):
        return


def _check(client: Client, address: str, settings: Settings) -> None:
    if different := compare_versions(client.get_versions()):
        raise ClusterUnreachable(f"{address}: the cluster runs other versions than this machine: {different}")
    if not worker_count(client):
        raise ClusterUnreachable(
            f"{address}: the scheduler has no workers; start some with 'dask worker {address}'"
        )
    if settings.resources and not places(client, settings.shard_resources, ANSWER_SECONDS):
        raise ClusterUnreachable(
            f"{address}: no worker offers {settings.resources} (DERAIN_RESOURCES); start some with"
            f" 'dask worker {address} --nthreads 1 --resources \"{settings.resources}\"'"
        )


def _send_code(client: Client) -> None:
    """Send our packages to all workers, including those that join later."""
    client.register_plugin(_code_plugin(_packed(ROOT)), name="derain-code")


def _packed(root: Path) -> bytes:
    """Pack our packages into a zip archive whose bytes are the same for the same code."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*.py")):
                packed.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes())
    return archive.getvalue()


def _code_plugin(archive: bytes) -> WorkerPlugin:
    """Return the plugin that puts our code first on a worker's import path.

    `Client.upload_file` does not suffice: a long-lived worker would keep modules of an older version that it has
    loaded, and the scheduler would accumulate one plugin per run. The class is defined inside this function so that
    it is pickled by value, because workers cannot import this module yet.
    """
    digest = hashlib.sha256(archive).hexdigest()[:16]

    class Code(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            if sys.version_info[:2] == (3, 11):
                self.stop_profiler(worker)
            path = os.path.join(worker.local_directory, f"derain-code-{digest}.zip")
            if path in sys.path:
                return  # and modules stay loaded
            with open(path, "wb") as file:
                file.write(archive)
            sys.path[:] = [path, *(other for other in sys.path if "derain-code-" not in other)]
            for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
                del sys.modules[name]
            importlib.invalidate_caches()

        def stop_profiler(self, worker: Any) -> None:
            # In Python 3.11 the profiler deadlocks all threads if one starts while it takes their stacks, and
            # our workers start many threads: python/cpython#106883.
            for name in ("profile", "profile-cycle"):
                timer = worker.periodic_callbacks.pop(name, None)
                if timer is not None:
                    timer.stop()

    return Code()

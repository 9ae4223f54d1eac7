"""Dask workers: processes on this machine, or a scheduler elsewhere."""

from __future__ import annotations

import hashlib
import importlib
import io
import logging
import os
import pickle
import signal
import socket
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import dask
from distributed import Client, Future, LocalCluster, WorkerPlugin
from distributed.comm import parse_address, parse_host_port
from distributed.comm.registry import get_backend
from tenacity import Retrying, stop_after_attempt

from infra.cluster_closing import closing_client, closing_cluster
from infra.cluster_security import local_security, remote_security, warn_of_plain_tcp
from infra.cluster_versions import compare_versions, without_version_tables
from infra.errors import UserError
from infra.settings import Settings

T = TypeVar("T")
START_SECONDS = 120.0
"""A local worker that is not there after so long is given up; it takes two seconds, on a busy machine twenty."""
PACKAGES = ("tasks", "models", "infra")
"""What workers elsewhere are sent, so that they run the coordinator's code."""
ROOT = Path(__file__).parent.parent
"""Where these packages lie."""

_WORKER_ENVIRONMENT = {
    # Freed activations stay in the process instead of going back to the system page by page: up to twice as fast.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(8 << 30),
    "OMP_NUM_THREADS": "1",
    # A heartbeat that is lost while the cluster closes is an error with a traceback; what matters comes back with
    # the tasks. The configuration below comes too late for it.
    "DASK_LOGGING__DISTRIBUTED": "critical",
}
_ALLOWED_FAILURES = 2
"""Times a shard may lose its worker before it is taken to be the cause."""


class ClusterUnreachable(UserError):
    """The Dask scheduler does not answer, or runs other versions than this machine."""


@contextmanager
def connect(settings: Settings) -> Iterator[Client]:
    """Yield a client of the cluster the settings name.

    Yields
    ------
    Client
        Of one process per core on this machine (per GPU where `device` is `cuda`), or of `settings.cluster`.

    Raises
    ------
    CertificatesInvalid
        If `settings.cluster` is a `tls://` address and there are no certificates for it.
    ClusterUnreachable
        If the scheduler does not answer or has no matching versions, or no workers start here.
    """
    for name in ("distributed", "distributed.worker", "distributed.nanny"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("distributed.scheduler").setLevel(
        logging.CRITICAL
    )  # what an interrupted run asked for is gone
    with dask.config.set(_configuration()), _without_main():
        if settings.cluster:
            with _remote(settings, settings.cluster) as client:
                yield client
            return
        with (
            closing_cluster(_local(local_workers(settings))) as cluster,
            closing_client(Client(cluster)) as client,
        ):
            yield client


def submit(
    client: Client, function: Callable[..., Any], *arguments: Any, key: Any = None, priority: int = 0
) -> Future:
    """Submit a call of one of our functions.

    It travels as bytes: a scheduler elsewhere looks into what it is sent, but has neither our code nor torch.

    Parameters
    ----------
    client : Client
        From `connect`.
    function : callable
        At the top of one of our modules.
    arguments : Any
        Its arguments, which can be pickled.
    key : Any
        Dask's name for the task; unset: one of its own.
    priority : int
        What is higher goes before what waits already.
    """
    packed = pickle.dumps((function, arguments))
    return client.submit(_caller(), packed, key=key, priority=priority, pure=False)


def ask_workers(client: Client, function: Callable[..., T], *arguments: Any) -> dict[str, T]:
    """Call one of our functions in every worker that is there now, and return the answers by worker address.

    A worker that goes away before it answers is left out. See `submit` for the parameters.
    """
    packed = pickle.dumps((function, arguments))
    answers: dict[str, T] = client.run(_caller(), packed, on_error="ignore")
    return answers


def local_workers(settings: Settings) -> int:
    """Return how many worker processes this machine gets: what is set, one a GPU, or one a core."""
    if settings.workers:
        return settings.workers
    if settings.device.startswith("cuda"):
        import torch

        return max(torch.cuda.device_count(), 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_count(client: Client) -> int:
    """Return how many workers a cluster has now."""
    return len(client.scheduler_info(n_workers=-1)["workers"])


def _configuration() -> dict[str, object]:
    return {
        "distributed.nanny.pre-spawn-environ": _WORKER_ENVIRONMENT,
        "distributed.scheduler.allowed-failures": _ALLOWED_FAILURES,
        # What waits behind a shard that kills its worker would be blamed with it: let it wait at the scheduler.
        "distributed.scheduler.worker-saturation": 1.0,
        # A worker that died comes back by itself; one that takes longer than this would be given up for good, and
        # at the default (15 s) a busy machine loses all of them, one after the other.
        "distributed.deploy.lost-worker-timeout": "1h",
        "distributed.comm.timeouts.connect": "10s",
        # At their defaults (20 ms, 500 ms) these take some 3 % of a core in each process that has nothing to do.
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "5s",
        "distributed.worker.profile.enabled": False,  # nobody looks at it, and see stop_profiler
        # Their HTTP servers ask for no certificate: without routes they answer nothing.
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }


def _local(workers: int) -> LocalCluster:
    """Start workers here; once more, if a worker dies or hangs as it starts."""
    twice = Retrying(stop=stop_after_attempt(2), reraise=True)
    try:
        with _deaf_to_interrupts():
            return twice(
                LocalCluster,
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # not a port that others may have
                memory_limit=0,
                death_timeout=START_SECONDS,
                security=local_security(),
            )
    except Exception as error:  # Dask tells it in many ways: RuntimeError, TimeoutError, AssertionError
        reason = error.__cause__ or error.__context__ or error
        raise ClusterUnreachable(f"no worker processes start on this machine: {reason}") from error


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that start now ignore Ctrl-C, which all of a terminal get: the coordinator will end them."""
    if threading.current_thread() is not threading.main_thread():  # where Python sets no signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _without_main() -> Iterator[None]:
    """Hide the main module, so that spawned workers do not import it: Prefect and all, a second or two each."""
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
        _knock(address)
        warn_of_plain_tcp(address)
        with without_version_tables():
            client = Client(address, timeout="10s", security=security)
    except (OSError, ValueError, RuntimeError) as error:
        raise ClusterUnreachable(f"{address}: no Dask scheduler answers there ({error})") from error
    with closing_client(client):
        _check(client, address)
        _send_code(client)
        yield client


def _knock(address: str) -> None:
    """Raise at once where nothing listens or what is no address: a client would wait, or hang over the latter."""
    scheme, place = parse_address(address)
    get_backend(scheme)
    with socket.create_connection(parse_host_port(place), timeout=10):
        return


def _check(client: Client, address: str) -> None:
    if different := compare_versions(client.get_versions()):
        raise ClusterUnreachable(f"{address}: the cluster runs other versions than this machine: {different}")
    if not worker_count(client):
        raise ClusterUnreachable(
            f"{address}: the scheduler has no workers; start some with 'dask worker {address}'"
        )


def _send_code(client: Client) -> None:
    """Send our packages to all workers, those that join later too."""
    client.register_plugin(_code_plugin(_packed(ROOT)), name="derain-code")


def _packed(root: Path) -> bytes:
    """Pack our packages in a zip, the same bytes for the same code."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        for package in PACKAGES:
            for path in sorted((root / package).rglob("*.py")):
                packed.writestr(zipfile.ZipInfo(path.relative_to(root).as_posix()), path.read_bytes())
    return archive.getvalue()


def _code_plugin(archive: bytes) -> WorkerPlugin:
    """Make what puts our code on a worker's path, before any other that it may have.

    `Client.upload_file` would not do: it keeps what a long-lived worker has loaded of an older version, and the
    scheduler would gather one plugin a run. The class is defined in here because it then travels by value:
    workers cannot import this module yet.
    """
    digest = hashlib.sha256(archive).hexdigest()[:16]

    class Code(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            if sys.version_info[:2] == (3, 11):
                self.stop_profiler(worker)
            path = os.path.join(worker.local_directory, f"derain-code-{digest}.zip")
            if path in sys.path:
                return  # and what is loaded stays loaded
            with open(path, "wb") as file:
                file.write(archive)
            sys.path[:] = [path, *(other for other in sys.path if "derain-code-" not in other)]
            for name in [name for name in sys.modules if name.partition(".")[0] in PACKAGES]:
                del sys.modules[name]
            importlib.invalidate_caches()

        def stop_profiler(self, worker: Any) -> None:
            # In Python 3.11 it blocks all threads for good when one starts as it asks where they are, and ours
            # start many: python/cpython#106883.
            for name in ("profile", "profile-cycle"):
                timer = worker.periodic_callbacks.pop(name, None)
                if timer is not None:
                    timer.stop()

    return Code()


def _caller() -> Callable[[bytes], Any]:
    """Make what unpacks a call and makes it; like the plugin's class it travels by value."""

    def call(packed: bytes) -> Any:
        function, arguments = pickle.loads(packed)
        return function(*arguments)

    return call

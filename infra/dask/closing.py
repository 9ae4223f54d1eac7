"""Context managers that close Dask clusters and clients without failing work that is already done.

On a busy machine, closing does fail. `Nanny.kill` gives a worker process 9 seconds to exit and to be joined, and
then raises `TimeoutError`, which `LocalCluster.close` passes on. Prefect treats any `TimeoutError` raised by a flow
as the time-out of that flow.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from distributed import Client, LocalCluster

from infra.errors import one_line

CLOSE_SECONDS = 60.0
"""Seconds that a cluster or a client may take to close."""

logger = logging.getLogger(__name__)


@contextmanager
def closing_client(client: Client) -> Iterator[Client]:
    """Close a client after the block; log a warning if that fails."""
    try:
        yield client
    finally:
        _close(client, "the connection to Dask")


@contextmanager
def closing_cluster(cluster: LocalCluster) -> Iterator[LocalCluster]:
    """Close the workers of this machine after the block; kill them if that fails."""
    try:
        yield cluster
    finally:
        processes = [nanny.pid for nanny in cluster.workers.values() if getattr(nanny, "pid", None)]
        if not _close(cluster, "the Dask workers"):
            for process in processes:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)


def _close(what: Client | LocalCluster, name: str) -> bool:
    try:
        what.close(timeout=CLOSE_SECONDS)
    except Exception as error:  # noqa: BLE001 - Dask raises TimeoutError, AssertionError, OSError and others
        logger.warning("%s did not close cleanly: %s: %s", name, type(error).__name__, one_line(error))
        return False
    return True

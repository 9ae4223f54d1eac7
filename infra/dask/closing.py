"""Context managers that close Dask clusters and clients without failing work that is already done.

On a busy machine, closing does fail. `Nanny.kill` gives a worker process 9 seconds to exit and to be joined, and
then raises `TimeoutError`, which `LocalCluster.close` passes on. Prefect treats any `TimeoutError` raised by a flow
as the time-out of that flow.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, LocalCluster

from infra.errors import one_line

CLOSE_SECONDS = 60.0
"""Seconds that a cluster or a client may take to close."""

logger = logging.getLogger(__name__)


class SelfClosingClient(Client):  # type: ignore[misc]
    """A client that gives up in time and closes itself if it cannot connect.

    Dask waits for ever for the greeting of a listening server that is not a scheduler. It leaves a failed client to
    the garbage collector, which may run in the thread that the next client is just starting: that thread waits for
    a lock that the next client holds until the thread has started.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        try:
            super().__init__(*arguments, **options)
        except BaseException:
            with suppress(Exception):  # the error that is raised says more
                self.close(timeout=CLOSE_SECONDS)
            raise

    async def _ensure_connected(self, timeout: float | None = None) -> None:
        try:
            await asyncio.wait_for(super()._ensure_connected(timeout), timeout)
        except TimeoutError as error:
            raise OSError("no greeting in time") from error
        except MemoryError as error:  # for what other protocols say where Dask sends a length
            raise OSError("it speaks another protocol") from error


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

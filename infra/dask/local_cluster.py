"""Dask workers as processes of this machine (`local_cluster`), which only their coordinator can end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker

import psutil
from distributed import LocalCluster, Security
from tenacity import Retrying, stop_after_attempt

from infra.dask.closing import closing_cluster
from infra.errors import UserError
from infra.settings import Settings

START_SECONDS = 120.0
"""Seconds that a worker may take to start; it usually takes two, on a busy machine twenty."""
POLL_SECONDS = 0.1


class WorkersNotStarted(UserError):
    """Raised if no worker processes start on this machine; the message says why."""


@contextmanager
def local_cluster(workers: int, resources: Mapping[str, float]) -> Iterator[LocalCluster]:
    """Start workers on this machine, and close them after the block; if one dies or hangs as it starts, try again.

    The workers ignore Ctrl-C, which a terminal sends to them too: they would lose the shards that the coordinator
    still waits for. The coordinator itself can be interrupted at any moment, also while they start.

    Parameters
    ----------
    workers : int
        Number of processes.
    resources : Mapping[str, float]
        Resources that each of them offers to calls.

    Raises
    ------
    WorkersNotStarted
        If they do not start.
    """
    twice = Retrying(stop=stop_after_attempt(2), reraise=True)
    try:
        cluster = twice(_started, workers, resources)
    except Exception as error:  # Dask raises RuntimeError, TimeoutError, AssertionError ...
        reason = error.__cause__ or error.__context__ or error
        raise WorkersNotStarted(f"no worker processes start on this machine: {reason}") from error
    with closing_cluster(cluster):
        yield cluster


def local_workers(settings: Settings) -> int:
    """Return the number of worker processes on this machine: the setting, or else one per GPU or per core."""
    if settings.workers:
        return settings.workers
    if settings.device.startswith("cuda"):
        import torch

        return max(torch.cuda.device_count(), 1)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _started(workers: int, resources: Mapping[str, float]) -> LocalCluster:
    with _ctrl_c_blocked():
        cluster = LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},  # any free port
            memory_limit=0,
            resources=dict(resources) or None,
            death_timeout=START_SECONDS,
            security=Security.temporary(),  # a key and a certificate, in memory only
        )
    try:
        _add_workers(cluster, workers)
    except BaseException:
        with closing_cluster(cluster):
            raise
    return cluster


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Block SIGINT in this thread; threads and processes that are started meanwhile, and by those, inherit it.

    This covers Dask's event loop and thereby all workers, including those that replace a lost one.
    """
    resource_tracker.ensure_running()  # the first process would start it, which unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _add_workers(cluster: LocalCluster, workers: int) -> None:
    """Start workers and wait for them; kill them if that is interrupted."""
    others = set(psutil.Process().children())
    start = asyncio.run_coroutine_threadsafe(_with_workers(cluster, workers), cluster.loop.asyncio_loop)
    try:
        start.result()
    except BaseException:
        _kill_until_ended(start, others)
        raise


async def _with_workers(cluster: LocalCluster, workers: int) -> None:
    for _ in range(workers):
        cluster.worker_spec.update(cluster.new_worker_spec())
    await cluster


def _kill_until_ended(start: Future[None], others: set[psutil.Process]) -> None:
    """Kill workers that are starting and have no work yet, so that Dask gives up starting them."""
    while not start.done():
        for process in set(psutil.Process().children()) - others:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wait([start], POLL_SECONDS)

"""Measure the coordinator's cost per shard, with 10 to 1,000 shards in flight on simulated workers."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.common.free_port import free_port
from benchmarks.scaling.simulated import SCOPE, SimulatedJob, SimulatedStage
from infra.catalog.derained import Catalog
from infra.dask import cluster
from infra.settings import Settings
from infra.storage.lease import lease_of
from tasks.waves.dask_executor import on_dask
from tasks.waves.runner import Pace, run_stage
from tasks.waves.tally import Tally

PROCESSES = 2
SHARD_IMAGES = 16


@dataclass(frozen=True, slots=True)
class Case:
    """Number of shards that workers run at the same time, and number of all shards."""

    running: int
    shards: int
    seconds: float
    """Seconds that a worker sleeps per shard."""

    @property
    def name(self) -> str:
        """Name of the case in the results."""
        return f"{self.shards:,} shards, {self.running:,} at a time, {self.seconds:g} s each"


CASES = (Case(10, 60, 4.0), Case(100, 600, 4.0), Case(1000, 8000, 4.0))


def measure(folder: Path, case: Case) -> dict[str, float]:
    """Run a case in this process, with scheduler and workers in separate processes."""
    threads = case.running // PROCESSES
    with _simulated_workers(folder, threads) as address:
        settings = Settings(workspace=str(folder / "workspace"), cluster=address, _env_file=None)
        commits: list[float] = []
        job = SimulatedJob("run-1", case.seconds)
        images = range(case.shards * SHARD_IMAGES)
        stage = SimulatedStage(Catalog(settings.workspace), job, images, SHARD_IMAGES, commit_seconds=commits)
        with lease_of(settings, SCOPE.destination, "run-1") as lease, on_dask(settings) as executor:
            before, started = _cpu_seconds(), time.perf_counter()
            tally = run_stage(stage, lease, executor, Pace.of(settings), _ignore)
            spent, took = _cpu_seconds() - before, time.perf_counter() - started
        assert tally.done == len(images)
    return {
        "coordinator CPU, ms per shard": 1000 * spent / case.shards,
        "of it in commits, ms per shard": 1000 * sum(commits) / case.shards,
        "coordinator CPU, share of a core": spent / took,
        "commit, CPU s": median(commits),
        "peak memory of the coordinator, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "time over that of the sleeps alone, ratio": took / (case.seconds * case.shards / case.running),
    }


def _ignore(tally: Tally) -> None:
    """Show no progress."""


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@contextmanager
def _simulated_workers(folder: Path, threads: int) -> Iterator[str]:
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    dask = [sys.executable, "-m", "dask"]
    worker = ["worker", address, "--nthreads", str(threads), "--nworkers", str(PROCESSES), "--no-dashboard"]
    commands = (
        ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"],
        [*worker, "--memory-limit", "0", "--local-directory", str(folder / "dask")],
    )
    with ExitStack() as stack:
        for command in commands:
            output = stack.enter_context((folder / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen([*dask, *command], stdout=output, stderr=output)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        _wait(address)
        yield address


def _wait(address: str) -> None:
    """Wait until all workers are connected."""
    until = time.monotonic() + 300
    while time.monotonic() < until:
        try:
            with cluster.connect(Settings(cluster=address, _env_file=None)) as client:
                client.wait_for_workers(PROCESSES, timeout=300)
                return
        except cluster.ClusterUnreachable:
            time.sleep(1)
    raise TimeoutError(address)

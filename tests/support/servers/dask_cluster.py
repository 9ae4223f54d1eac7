"""A Dask scheduler and workers in separate processes, which cannot import our packages by themselves.

The interpreter runs without its `site` module (`-S`), which hides an editable install, and without the current
folder on the path (`-P`): workers run only the code that they are sent.
"""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from distributed import Client

from tests.support.servers.certificates import Certificates

READY_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class DaskCluster:
    """A running scheduler and its workers."""

    address: str
    folder: Path
    scheduler: subprocess.Popen[bytes]

    def pids(self) -> list[int]:
        """Return the process ids of the workers; a nanny restarts each of them when it dies."""
        with Client(self.address, timeout=READY_SECONDS) as client:
            return sorted(client.run(os.getpid).values())

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """Set variables in all workers; a restarted worker has lost them."""
        with Client(self.address, timeout=READY_SECONDS) as client:
            client.run(_setter(), dict(variables))

    def executed(self) -> dict[str, int]:
        """Return the number of calls that each worker has executed, by its name."""
        with Client(self.address, timeout=READY_SECONDS) as client:
            counts = client.run(lambda dask_worker: (dask_worker.name, dask_worker.state.executed_count))
        return dict(counts.values())

    @contextmanager
    def joined_by(
        self, name: str, *options: str, variables: Mapping[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Add a worker without a nanny; stop it after the block."""
        with ExitStack() as running:
            process = _start_worker(self, running, name, [*options, "--no-nanny"], variables or {})
            wait_until(lambda: name in self.executed(), process)
            yield process

    def output(self) -> str:
        """Return the output of scheduler and workers."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.out")))


@contextmanager
def dask_cluster(
    folder: Path,
    workers: int,
    variables: Mapping[str, str] | None = None,
    certificates: Certificates | None = None,
) -> Iterator[DaskCluster]:
    """Run a scheduler and workers with nannies, each in its own folder; stop all of them after the block.

    Parameters
    ----------
    folder : Path
        Holds their output and their working folders; created if missing.
    workers : int
        Number of workers; 0 runs only a scheduler.
    variables : Mapping[str, str], optional
        Additional environment variables of the workers.
    certificates : Certificates, optional
        If given, the cluster uses TLS.
    """
    tls = certificates.options() if certificates else []
    security = certificates.security() if certificates else None
    with ExitStack() as running:
        cluster = _start_scheduler(folder, running, [*tls, *(["--protocol", "tls"] if tls else [])])
        for number in range(workers):
            _start_worker(cluster, running, f"worker-{number}", tls, variables or {})
        if workers:
            with Client(cluster.address, timeout=READY_SECONDS, security=security) as client:
                client.wait_for_workers(workers, timeout=READY_SECONDS)
        yield cluster


def wait_until(is_true: Callable[[], bool], process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until a condition is true, while the process that makes it true is alive.

    Raises
    ------
    TimeoutError
        If it does not become true in time.
    """
    until = time.monotonic() + READY_SECONDS
    while not is_true():
        if time.monotonic() > until or (process is not None and process.poll() is not None):
            raise TimeoutError(f"waited in vain for {process.args if process else is_true!r}")
        time.sleep(0.02)


def _setter() -> Callable[[dict[str, str]], None]:
    def set_all(variables: dict[str, str]) -> None:
        os.environ.update(variables)

    return set_all  # a nested function is pickled by value: workers cannot import this module


def _start_worker(
    cluster: DaskCluster, running: ExitStack, name: str, options: Sequence[str], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    kept = ["--local-directory", str(cluster.folder / name), "--memory-limit", "0", "--no-dashboard"]
    arguments = ["worker", cluster.address, "--name", name, "--nthreads", "1", *kept, *options]
    return _start(cluster.folder / name, running, arguments, variables)


def _start_scheduler(folder: Path, running: ExitStack, options: Sequence[str]) -> DaskCluster:
    file = folder / "scheduler.json"
    where = [
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
        *options,
    ]
    process = _start(folder / "scheduler", running, where, {})
    wait_until(lambda: file.exists() and file.read_text().rstrip().endswith("}"), process)
    return DaskCluster(str(json.loads(file.read_text())["address"]), folder, process)


def _start(
    folder: Path, running: ExitStack, arguments: Sequence[str], variables: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True)
    output = running.enter_context(folder.with_suffix(".out").open("wb"))
    # A killed test run must not leave a cluster running: the kernel kills it with its parent.
    tied = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    command = [*tied, sys.executable, "-S", "-P", "-m", "dask", *arguments]
    packages = os.pathsep.join([*site.getsitepackages(), site.getusersitepackages()])
    environment = {**os.environ, **variables, "PYTHONPATH": packages}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    running.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

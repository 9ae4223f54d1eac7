"""One world (`Episode`) whose runs are disturbed one after the other, then left undisturbed, then checked."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from benchmarks.reliability.victim import CRASHED, DONE, Order, Put, run
from benchmarks.reliability.work import Event
from benchmarks.reliability.world import VERSIONS, World

QUIET_RUNS = 4
"""Number of undisturbed runs within which everything must be done."""
KILL_AT = ("decode", "during-put", "after-put", "before-commit", "after-commit", "between-waves")

PRELOADED = (
    "benchmarks.reliability.soak",
    "deltalake",
    "polars",
    "s3fs",
    "tasks.batch.stage",
    "tasks.progress",
    "tasks.waves.runner",
    "tasks.workers.loaded",
)
"""Modules that a run imports, including those that it imports late."""

_CONTEXT = multiprocessing.get_context("forkserver")


def warm_up() -> None:
    """Preload the server from which processes are forked: it imports everything and starts no threads."""
    _CONTEXT.set_forkserver_preload(list(PRELOADED))


@dataclass(slots=True)
class Running:
    """A run in progress."""

    number: int
    process: ForkServerProcess
    connection: Connection
    puts: list[Put] = field(default_factory=list)
    """Puts received so far; the first one has no key and marks the start of the run."""

    def signal(self, number: int) -> None:
        """Send a signal, unless the run has ended."""
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def wait_for_puts(self, number: int) -> None:
        """Wait until the run has put more than this many outputs, or has ended."""
        while len(self.puts) <= number and self._receive():
            continue

    def wait(self) -> int:
        """Wait for the end of the run; return its exit code."""
        while self._receive():
            continue
        self.connection.close()
        self.process.join()
        return self.process.exitcode or 0

    def _receive(self) -> bool:
        try:
            self.puts.append(self.connection.recv())
        except (EOFError, OSError):  # the run has ended, perhaps in the middle of a message
            return False
        return True


@dataclass(slots=True)
class Episode:
    """A world, its runs and their events."""

    world: World
    folder: Path
    random: random.Random
    environment: Mapping[str, str]
    """Environment of all runs, which configures the storage."""
    events: list[Event] = field(default_factory=list)
    runs: int = 0
    crashes: int = 0
    """Number of runs that ended with an unforeseen error."""

    def order(self, **changes: object) -> Order:
        """Return the order of a run in this world, with some fields changed."""
        world = self.world
        plain = Order(world.source, world.destination, world.workspace, str(world.model), self.environment)
        return replace(plain, **changes)  # type: ignore[arg-type]

    def start(self, **changes: object) -> Running:
        """Start a run."""
        self.runs += 1
        receiving, sending = _CONTEXT.Pipe(duplex=False)
        errors = str(self.folder / "errors.txt")
        process = _CONTEXT.Process(target=run, args=(self.order(**changes), sending, errors))
        process.start()
        sending.close()
        return Running(self.runs, process, receiving)

    def finish(self, running: Running) -> int:
        """Wait for a run, record its puts, and return its exit code."""
        code = running.wait()
        self.events += [Event(put.at, put.key, running.number, put.digest) for put in running.puts]
        self.crashes += code == CRASHED
        return code

    def thawed(self, running: Running) -> None:
        """Record that a run was frozen until now and did no work."""
        self.events.append(Event(time.monotonic(), "", running.number))

    def damaged(self, key: str) -> None:
        """Record that the output of this photograph may have to be written again."""
        self.events.append(Event(time.monotonic(), key, None))

    def terminate(self) -> bool:
        """Run until everything is done, then once more; return whether that last run had nothing to put."""
        for _ in range(QUIET_RUNS):
            if self.finish(self.start()) == DONE:
                break
        before = len(self.puts())
        return self.finish(self.start()) == DONE and len(self.puts()) == before

    def puts(self) -> list[Event]:
        """Return the puts so far."""
        return [event for event in self.events if event.run is not None and event.key]

    def renew(self, share: float) -> None:
        """Change the content of some photographs, so that there is work to do."""
        keys = sorted(self.world.versions)
        for key in self.random.sample(keys, round(share * len(keys))):
            self.change(key)

    def change(self, key: str) -> None:
        """Change a photograph to its next content."""
        self.world.write(key, (self.world.versions[key] + 1) % VERSIONS)
        self.damaged(key)

    def wait_a_while(self, running: Running) -> None:
        """Wait for a random moment in the life of a run."""
        running.wait_for_puts(self.random.choice((0, 0, 1, 2, 3, 5, 8)))
        time.sleep(self.random.uniform(0, 0.5))

"""One world whose runs are disturbed one after the other, then left in peace, then checked."""

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
"""Number of undisturbed runs after which everything must be done."""
KILL_AT = ("decode", "during-put", "after-put", "before-commit", "after-commit", "between-waves")

PRELOADED = (
    "benchmarks.reliability.soak",
    "deltalake",
    "polars",
    "s3fs",
    "tasks.batch.stage",
    "tasks.progress",
    "tasks.waves.loaded",
    "tasks.waves.runner",
)
"""Modules that a run imports, including those imported in functions."""

_CONTEXT = multiprocessing.get_context("forkserver")


def warm_up() -> None:
    """Let processes be forked from one that has imported everything and started no thread."""
    _CONTEXT.set_forkserver_preload(list(PRELOADED))


@dataclass(slots=True)
class Running:
    """A run under way."""

    number: int
    process: ForkServerProcess
    connection: Connection
    puts: list[Put] = field(default_factory=list)
    """Received so far; the first is none, and says when the run began."""

    def signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.process.pid is not None and self.process.exitcode is None:
            os.kill(self.process.pid, number)

    def wait_for_puts(self, number: int) -> None:
        """Wait until the run has put more than this many outputs, or has ended."""
        while len(self.puts) <= number and self._receive():
            continue

    def wait(self) -> int:
        """Wait until it has ended; return its exit code."""
        while self._receive():
            continue
        self.connection.close()
        self.process.join()
        return self.process.exitcode or 0

    def _receive(self) -> bool:
        try:
            self.puts.append(self.connection.recv())
        except (EOFError, OSError):  # it has ended, perhaps in the middle of a message
            return False
        return True


@dataclass(slots=True)
class Episode:
    """A world, and what happened in it."""

    world: World
    folder: Path
    random: random.Random
    environment: Mapping[str, str]
    """Of all runs: the way to the storage."""
    events: list[Event] = field(default_factory=list)
    runs: int = 0
    crashes: int = 0
    """Runs that ended with an error nobody foresaw."""

    def order(self, **changes: object) -> Order:
        """Return an order for this world."""
        world = self.world
        plain = Order(world.source, world.destination, world.workspace, str(world.model), self.environment)
        return replace(plain, **changes)  # type: ignore[arg-type]

    def start(self, **changes: object) -> Running:
        """Begin a run."""
        self.runs += 1
        receiving, sending = _CONTEXT.Pipe(duplex=False)
        errors = str(self.folder / "errors.txt")
        process = _CONTEXT.Process(target=run, args=(self.order(**changes), sending, errors))
        process.start()
        sending.close()
        return Running(self.runs, process, receiving)

    def finish(self, running: Running) -> int:
        """Wait for a run, note what it put, and return its exit code."""
        code = running.wait()
        self.events += [Event(put.at, put.key, running.number, put.digest) for put in running.puts]
        self.crashes += code == CRASHED
        return code

    def thawed(self, running: Running) -> None:
        """Note that a run was frozen until now, and did no work."""
        self.events.append(Event(time.monotonic(), "", running.number))

    def damaged(self, key: str) -> None:
        """Note that an output of this photograph may have to be made again."""
        self.events.append(Event(time.monotonic(), key, None))

    def terminate(self) -> bool:
        """Run until all is done, then once more; return whether that last run had nothing to put."""
        for _ in range(QUIET_RUNS):
            if self.finish(self.start()) == DONE:
                break
        before = len(self.puts())
        return self.finish(self.start()) == DONE and len(self.puts()) == before

    def puts(self) -> list[Event]:
        """Return the puts so far."""
        return [event for event in self.events if event.run is not None and event.key]

    def renew(self, share: float) -> None:
        """Give some photographs another content, so that there is work to do."""
        keys = sorted(self.world.versions)
        for key in self.random.sample(keys, round(share * len(keys))):
            self.change(key)

    def change(self, key: str) -> None:
        """Give a photograph its next content."""
        self.world.write(key, (self.world.versions[key] + 1) % VERSIONS)
        self.damaged(key)

    def wait_a_while(self, running: Running) -> None:
        """Wait for a random moment in the life of a run."""
        running.wait_for_puts(self.random.choice((0, 0, 1, 2, 3, 5, 8)))
        time.sleep(self.random.uniform(0, 0.5))

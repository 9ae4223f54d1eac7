"""One run of derain-batch in a separate process that can be killed or frozen, or whose disk and clock misbehave."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import sys
import time
import traceback
import uuid
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from multiprocessing.connection import Connection
from typing import Any

from infra.settings import Settings
from infra.storage import local
from tasks.batch import coordinator, shards
from tasks.batch.observing import FlowObserver
from tasks.batch.planning.plan import PlanCounts
from tasks.batch.preflight import prepare
from tasks.codec.exports import Export
from tasks.media.photographs import Photographs
from tasks.media.sources import Selection
from tasks.refusals import REFUSALS
from tasks.waves.executors import Executor, in_process
from tasks.waves.signals import TERMINATED

DONE, PENDING, CRASHED = 0, 1, 3
"""Exit codes: everything is done; refused, or images are pending; an unforeseen error."""
LEASE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Order:
    """The parameters of a run, and the faults of its disk and clock."""

    source: str
    destination: str
    workspace: str
    model: str
    environment: Mapping[str, str] = field(default_factory=dict)
    writes_left: int | None = None
    """Number of files that can be written before the disk is full."""
    largest_file: int | None = None
    """Largest size of a file in bytes, for Python and for native code; writing a larger one fails."""
    clock_shift: float = 0.0
    """Seconds by which the clock jumps after the first put."""


@dataclass(frozen=True, slots=True)
class Put:
    """An output that was written."""

    key: str
    digest: str
    at: float
    """Monotonic seconds, the same in all processes of the machine."""


class _InProcess(FlowObserver):
    """Run jobs in this process, so that killing it kills everything."""

    def executor(
        self, settings: Settings, counts: PlanCounts, follows_death: bool
    ) -> AbstractContextManager[Executor]:
        return in_process(settings)


def run(order: Order, puts: Connection, errors: str) -> None:
    """Run an order, send every put, and end the process with an exit code."""
    os.environ.update(order.environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(errors, "ab", buffering=0) as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
    _disturb(order, puts)
    try:
        code = _derain(order)
    except KeyboardInterrupt:
        code = PENDING
    except SystemExit as ended:
        code = PENDING if ended.code == TERMINATED else CRASHED
    except BaseException:  # noqa: BLE001 - counted by the parent process
        traceback.print_exc()
        code = CRASHED
    os._exit(code)


def _derain(order: Order) -> int:
    settings = Settings(
        workspace=order.workspace,
        shard_images=2,
        wave_shards=2,
        lease_seconds=LEASE_SECONDS,
        min_free_bytes=0,
        device="cpu",
        _env_file=None,
    )
    request = coordinator.BatchRequest(uuid.uuid4().hex, datetime.now(UTC), Selection(), "none")
    try:
        prepared = prepare(settings, order.source, order.destination, Export("same"), order.model)
        summary = coordinator.derain_pending(settings, prepared, request, _InProcess())
    except REFUSALS as refused:
        sys.stderr.write(f"{refused}\n")
        return PENDING
    sys.stderr.write(f"{summary.line()} {summary.message}\n")
    return PENDING if summary.counts.pending else DONE


def _disturb(order: Order, puts: Connection) -> None:
    """Replace the functions with which this process writes files and reads the clock."""
    put, started = Photographs.put, time.monotonic()
    clock = _Clock()

    def counted(self: Photographs, key: str, data: bytes) -> Any:
        stored = put(self, key, data)
        puts.send(Put(key, hashlib.sha256(data).hexdigest(), time.monotonic()))
        clock.shift = order.clock_shift
        return stored

    Photographs.put = counted  # type: ignore[method-assign]
    puts.send(Put("", "", started))
    if order.clock_shift:
        clock.install()
    if order.writes_left is not None:
        _fill_disk(order.writes_left)
    if order.largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.largest_file, order.largest_file))


class _Clock:
    """A clock that jumps once `shift` is set."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._time = time.time

    def install(self) -> None:
        clock = self

        class Jumping(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> Jumping:
                moved = datetime.now(tz) + timedelta(seconds=clock.shift)
                return cls.fromtimestamp(moved.timestamp(), tz)

        time.time = lambda: self._time() + self.shift
        for module in (coordinator, shards):
            module.datetime = Jumping  # type: ignore[attr-defined]


def _fill_disk(writes_left: int) -> None:
    write, left = local._write, iter(range(writes_left))

    def limited(path: str, data: bytes) -> None:
        if next(left, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        write(path, data)

    local._write = limited

"""Timing of a shard on its worker, by phase: measured by a `ShardClock`, returned as a `ShardTiming`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """A phase of a worker's work on the images of a shard."""

    LOAD = "load the network"
    DECODE = "decode"
    DERAIN = "derain"
    STATISTICS = "statistics"
    HASH = "hash"
    ENCODE = "encode"
    AWAIT_FETCH = "wait for a fetch"
    AWAIT_PUT = "wait for a put"
    FETCH = "fetch"
    DECODE_AHEAD = "decode ahead"
    PUT = "put"


IMAGE_PHASES = (
    Phase.DECODE,
    Phase.DECODE_AHEAD,
    Phase.DERAIN,
    Phase.STATISTICS,
    Phase.HASH,
    Phase.ENCODE,
)
"""Phases of work on pixels and encoded bytes, without storage."""
IN_BACKGROUND = (Phase.FETCH, Phase.DECODE_AHEAD, Phase.PUT)
"""Phases that run in separate threads while the computing thread does other work."""


@dataclass(frozen=True, slots=True)
class ShardTiming:
    """The time that one shard took on its worker."""

    worker: int
    """Process id of the worker."""
    began: float
    """Start of the shard by the monotonic clock of the worker's machine, in seconds."""
    ended: float
    cpu_seconds: float
    """CPU seconds of the computing thread, which include all phases but those in the background."""
    wall_of: Mapping[Phase, float]
    """Wall seconds by phase."""
    cpu_of: Mapping[Phase, float]
    """CPU seconds by phase."""


class ShardClock:
    """Measures the phases of a shard; it starts when it is constructed, in the computing thread."""

    def __init__(self) -> None:
        self._began, self._began_cpu = time.monotonic(), time.thread_time()
        self._lock = threading.Lock()
        self._wall: dict[Phase, float] = dict.fromkeys(Phase, 0.0)
        self._cpu: dict[Phase, float] = dict.fromkeys(Phase, 0.0)

    @contextmanager
    def phase(self, phase: Phase) -> Iterator[None]:
        """Add the time of the block to a phase; may be used in any thread."""
        wall, cpu = time.monotonic(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.monotonic() - wall, time.thread_time() - cpu
            with self._lock:
                self._wall[phase] += wall
                self._cpu[phase] += cpu

    @property
    def image_seconds(self) -> float:
        """CPU seconds of the work on images so far."""
        return sum(self._cpu[phase] for phase in IMAGE_PHASES)

    def read(self) -> ShardTiming:
        """Return the time since the beginning; call it in the computing thread."""
        return ShardTiming(
            worker=os.getpid(),
            began=self._began,
            ended=time.monotonic(),
            cpu_seconds=time.thread_time() - self._began_cpu,
            wall_of=dict(self._wall),
            cpu_of=dict(self._cpu),
        )

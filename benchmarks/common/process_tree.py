"""CPU seconds of a process, of its descendants and of the whole machine, over time (`ProcessTree`)."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import psutil

EVERY = 0.5
"""Seconds between samples, each of which takes about two milliseconds."""


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU seconds of each process and of the machine at one moment, since their start."""

    at: float
    """Time of the monotonic clock."""
    cpu_of: Mapping[int, float]
    """CPU seconds by process id; a process that has ended keeps its last value."""
    idle: float
    busy: float


class ProcessTree:
    """Sample a process and its descendants in a thread; a context manager."""

    def __init__(self, pid: int) -> None:
        self.samples: list[Sample] = []
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_until_stopped)

    def __enter__(self) -> ProcessTree:
        """Take the first sample."""
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the last sample."""
        self._stop.set()
        self._thread.join()
        self._sample()

    @property
    def pids(self) -> set[int]:
        """Process ids of all processes that were seen."""
        return set(self.samples[-1].cpu_of)

    def cpu_between(self, began: float, ended: float, pids: set[int]) -> float:
        """Return the CPU seconds of some processes between two moments, interpolated between samples."""
        first, last = self._at(began), self._at(ended)
        return sum(last.cpu_of.get(pid, 0.0) - first.cpu_of.get(pid, 0.0) for pid in pids)

    def machine_between(self, began: float, ended: float) -> tuple[float, float]:
        """Return the idle and the busy seconds of all cores between two moments."""
        first, last = self._at(began), self._at(ended)
        return last.idle - first.idle, last.busy - first.busy

    def _at(self, moment: float) -> Sample:
        number = bisect.bisect_left(self.samples, moment, key=lambda sample: sample.at)
        if number == 0:
            return self.samples[0]
        if number == len(self.samples):
            return self.samples[-1]
        before, after = self.samples[number - 1], self.samples[number]
        share = (moment - before.at) / (after.at - before.at)

        def between(first: float, last: float) -> float:
            return first + share * (last - first)

        cpu_of = {pid: between(before.cpu_of.get(pid, 0.0), cpu) for pid, cpu in after.cpu_of.items()}
        return Sample(moment, cpu_of, between(before.idle, after.idle), between(before.busy, after.busy))

    def _sample_until_stopped(self) -> None:
        while not self._stop.wait(EVERY):
            self._sample()

    def _sample(self) -> None:
        cpu_of = dict(self.samples[-1].cpu_of) if self.samples else {}
        for process in self._processes():
            try:
                times = process.cpu_times()
            except psutil.Error:  # the process has just ended
                continue
            cpu_of[process.pid] = times.user + times.system
        machine = psutil.cpu_times()
        idle = machine.idle + getattr(machine, "iowait", 0.0)
        busy = sum(
            getattr(machine, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq", "steal")
        )
        self.samples.append(Sample(time.monotonic(), cpu_of, idle, busy))

    def _processes(self) -> list[psutil.Process]:
        try:
            return [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return []

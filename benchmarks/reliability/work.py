"""Amount of repeated work (`redone`): puts of bytes that existed already and were not damaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A put of a run, or damage to an output or its source."""

    at: float
    key: str
    run: int | None
    """Number of the run; None for damage."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Redone:
    """Work of one run that a later run repeated."""

    images: int = 0
    seconds: float = 0.0
    """Time between puts of the run whose work was lost, without the time for which it was frozen."""


def redone(events: Iterable[Event]) -> dict[int, Redone]:
    """Return the work of each run that was repeated later.

    Parameters
    ----------
    events : iterable of Event
        Events in any order. A run begins with an event without a key; further ones mark the end of a freeze.
    """
    last: dict[str, tuple[Event, float]] = {}
    latest: dict[int, float] = {}
    lost: dict[int, list[float]] = defaultdict(list)
    for event in sorted(events, key=lambda event: event.at):
        before = last.pop(event.key, None)
        if event.run is None:
            continue
        if before is not None and before[0].run is not None and before[0].digest == event.digest:
            lost[before[0].run].append(before[1])
        took = event.at - latest.get(event.run, event.at)
        latest[event.run] = event.at
        if event.key:
            last[event.key] = (event, took)
    return {run: Redone(len(times), sum(times)) for run, times in lost.items()}

"""How much work was done again: puts of bytes that were there already and that nobody had damaged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A put of a run, or damage to an output or its source by somebody else."""

    at: float
    key: str
    run: int | None
    """None: damage."""
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Redone:
    """Work of one run that a later one did again."""

    images: int = 0
    seconds: float = 0.0
    """From put to put of the run that lost it, without the time that it was frozen."""


def redone(events: Iterable[Event]) -> dict[int, Redone]:
    """Return the work of each run that was lost.

    Parameters
    ----------
    events : iterable of Event
        In any order. A run begins with an event without a key; another one says that it was frozen until then.
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

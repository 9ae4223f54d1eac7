"""`Unfinished`: an item that a worker could not complete."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An item that stays pending, and the failure that prevented its completion."""

    key: str
    reason: str

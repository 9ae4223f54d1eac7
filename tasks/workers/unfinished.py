"""Items that a worker could not complete (`Unfinished`), and why."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from infra.errors import one_line

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An item that stays pending, and the failure that prevented its completion."""

    key: str
    reason: str
    of_one_object: bool = False
    """Whether the failure says nothing about other items: the object was deleted, for example."""


def unforeseen(key: str, error: Exception) -> Unfinished:
    """Leave an item pending after a lack of memory or a bug, so that it does not affect other items."""
    logger.warning("%s stays pending", key, exc_info=error)
    return Unfinished(key, f"{type(error).__name__}: {one_line(error)}")

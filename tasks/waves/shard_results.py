"""What comes back of a shard: rows of its images, and the images that stay pending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

Row = TypeVar("Row", covariant=True)
"""What is known of an image once it is through."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An image that stays pending, and what of the world was in the way."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class ShardResult(Generic[Row]):
    """Rows of the images that are through, the images that stay pending, and what it cost."""

    records: tuple[Row, ...]
    unfinished: tuple[Unfinished, ...]
    image_seconds: float
    """CPU seconds that the images took beside waiting for storage."""


class ImageRow(Protocol):
    """What progress needs to know of an image that is through."""

    @property
    def status(self) -> str:
        """`rejected`, or anything else."""

    @property
    def reason(self) -> str | None:
        """Why it was rejected."""

    @property
    def height(self) -> int | None:
        """Of the image, where it could be read."""

    @property
    def width(self) -> int | None:
        """Of the image, where it could be read."""

"""The file of a lease (`LeaseContent`): which destination it covers, who holds it, and until when."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Self

from pydantic import TypeAdapter, ValidationError

from infra.errors import ObjectNotFound
from infra.process_identity import Holder
from infra.storage.location import Location, existing

GRACE = 0.25
"""Fraction of its duration by which a lease must have expired before it is taken over: the allowed clock skew."""


@dataclass(frozen=True, slots=True)
class LeaseContent:
    """Contents of a generation file; times are in seconds since 1970."""

    destination: str
    run_id: str
    holder: Holder
    seconds: float
    acquired_at: float
    expires_at: float
    released: bool
    line: str
    """The same in words, for a person who opens the file."""

    @classmethod
    def acquired_now(cls, destination: str, run_id: str, seconds: float) -> Self:
        """Return the content of a lease that this process acquires now."""
        now, holder = time.time(), Holder.this_process()
        content = cls(destination, run_id, holder, seconds, now, now + seconds, released=False, line="")
        return replace(content, line=_line(content))

    def renewed(self) -> Self:
        """Return the content of the same lease, valid for its whole duration from now."""
        content = replace(self, expires_at=time.time() + self.seconds)
        return replace(content, line=_line(content))

    def given_up(self) -> Self:
        """Return the content of the same lease after its release."""
        return replace(self, released=True, line=f"released by run {self.run_id}")

    def is_held(self) -> bool:
        """Return whether no other process may take the lease over yet."""
        if self.released or self.holder.is_dead():
            return False
        return time.time() <= self.expires_at + GRACE * self.seconds

    def overlap(self, destination: str) -> str | None:
        """Describe how this lease's destination overlaps another one; None if it does not, or is the same."""
        wanted, held = PurePosixPath(destination).parts, PurePosixPath(self.destination).parts
        if wanted == held:
            return None
        if wanted[: len(held)] == held:
            return f"{destination} lies inside {self.destination}"
        return f"{destination} contains {self.destination}" if held[: len(wanted)] == wanted else None


def encode(content: LeaseContent) -> bytes:
    """Return the bytes of a generation file."""
    return json.dumps(asdict(content), indent=2).encode()


def decode(data: bytes) -> LeaseContent:
    """Read a generation file.

    Raises
    ------
    ValueError
        If the data is not a lease; the message is one line.
    """
    try:
        return TypeAdapter(LeaseContent).validate_json(data, strict=True)
    except ValidationError as error:
        fault = error.errors()[0]
        raise ValueError(": ".join([*map(str, fault["loc"]), fault["msg"]])) from None


def held_contents(leases: Location) -> Iterator[LeaseContent]:
    """Yield the leases in a folder of leases that are held now."""
    keys = [ref.key for ref in existing(leases) if ref.key.endswith(".json")]
    for _, content in _readable(leases, keys):
        if content.is_held():
            yield content


def forget_leases(leases: Location, before: datetime) -> int:
    """Remove files of leases that were last written before a moment and that nobody holds; return their number."""
    try:
        keys = list(leases.keys_before(before))
    except ObjectNotFound:  # no lease was ever taken
        return 0
    removed = 0
    for key, content in _readable(leases, keys):
        if not content.is_held():
            leases.delete(key)
            removed += 1
    return removed


def _readable(leases: Location, keys: Iterable[str]) -> Iterator[tuple[str, LeaseContent]]:
    """Yield the contents of files by key, without those that are not leases or were deleted meanwhile."""
    for key in keys:
        try:
            content = decode(leases.fetch(key))
        except (ObjectNotFound, ValueError):
            continue
        yield key, content


def _line(content: LeaseContent) -> str:
    since, until = _clock(content.acquired_at), _clock(content.expires_at)
    holder = content.holder
    return f"run {content.run_id} on {holder.host}, process {holder.pid}, since {since}, lease until {until}"


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

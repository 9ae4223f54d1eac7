"""Signals that are due once per multiple of a count (`Signal`), even if a run was killed before it gave one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from infra.errors import ObjectNotFound
from infra.storage.location import open_location


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal at each multiple of a step. The workspace remembers the count at which it was last looked at."""

    workspace: str
    name: str
    step: int
    since: datetime | None = None
    """Moment from which on is counted; after another one, the count begins at 0."""

    def is_due(self, count: int, added: int) -> bool:
        """Return whether a multiple was passed since the last look.

        Parameters
        ----------
        count : int
            The count now.
        added : int
            What this run added; the count before it is used if no earlier run has looked.
        """
        seen = self._seen()
        before = count - min(added, count) if seen is None else seen
        return before // self.step < count // self.step

    def remember(self, count: int) -> None:
        """Record that the signal was looked at, and given if it was due."""
        note = {"since": self._since, "count": count}
        open_location(f"{self.workspace}/signals").put(f"{self.name}.json", json.dumps(note).encode())

    @property
    def _since(self) -> str | None:
        return self.since.isoformat() if self.since else None

    def _seen(self) -> int | None:
        """Return the count at the last look; None if there was none, or if its note is damaged."""
        try:
            note = json.loads(open_location(f"{self.workspace}/signals").fetch(f"{self.name}.json"))
            return int(note["count"]) if note["since"] == self._since else 0
        except (ObjectNotFound, ValueError, LookupError, TypeError):
            return None

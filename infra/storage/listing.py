"""Rules for what a listing leaves out (`ListingRules`), and counts of everything it left out (`LeftOut`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MOST_REASONS = 200
"""Maximum number of reasons that are counted separately; names may have any suffix, and counts use memory."""
OTHER_REASONS = "other"

NOT_A_FILE = "not a regular file"
BROKEN_LINK = "broken link"
HALF_WRITTEN = "half-written by a killed run"
FOLDER_MARKER = "folder marker"
UNREADABLE = "unreadable"
VANISHED = "vanished"
LOOP = "link to a folder above"
STRAY_NAME = "name that is not text"
"""A file whose key does not lead back to it: see `infra.storage.stray_bytes`."""


@dataclass(slots=True)
class LeftOut:
    """Numbers of objects and folders of a source that a run leaves out, by reason."""

    objects: Counter[str] = field(default_factory=Counter)
    folders: Counter[str] = field(default_factory=Counter)
    """Folders that were not entered; their contents were never listed and are not counted in `objects`."""
    stopped_at: int | None = None
    """Limit at which the listing stopped; nothing after it was examined."""

    @property
    def total(self) -> int:
        """Number of objects that were listed and left out."""
        return self.objects.total()

    def leave_object(self, reason: str) -> None:
        """Count an object that was left out."""
        count_reason(self.objects, reason)

    def leave_folder(self, reason: str) -> None:
        """Count a folder that was not entered."""
        count_reason(self.folders, reason)


def count_reason(counts: Counter[str], reason: str) -> None:
    """Count a reason; after `MOST_REASONS` distinct ones, new reasons are counted together."""
    known = reason in counts or len(counts) < MOST_REASONS
    counts[reason if known else OTHER_REASONS] += 1


def _check_folders(folder: str) -> None:
    return None


def _need_none(folder: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class ListingRules:
    """Rules for what a listing leaves out, and the counts of what it left out.

    Parameters
    ----------
    left_out : LeftOut
        Counts everything that is not yielded.
    closed : callable
        Takes the key of a folder, which ends with a slash, and returns the reason for not entering it, or None.
        A bucket has no folders: all its keys are listed, and the selection leaves out the same ones.
    barred : str or None
        Absolute path of a folder that no link may lead to.
    needed : callable
        Takes the key of a folder that cannot be read, which ends with a slash, and returns whether the listing is
        misleading without it. The listing then fails; by default, the folder is left out.
    """

    left_out: LeftOut = field(default_factory=LeftOut)
    closed: Callable[[str], str | None] = _check_folders
    barred: str | None = None
    needed: Callable[[str], bool] = _need_none

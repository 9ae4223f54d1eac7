"""Removal of files older than the retention settings (`maintain_workspace`), never of images, rows or models."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from infra.catalog.pool import Pool
from infra.errors import ObjectNotFound
from infra.settings import Settings
from infra.storage.lease import lease_location
from infra.storage.lease_file import forget_leases
from infra.storage.location import open_location


@dataclass(frozen=True, slots=True)
class Removed:
    """Numbers of files that one maintenance run removed, by kind; a kind that is kept indefinitely is absent."""

    files: dict[str, int]

    def line(self) -> str:
        """Return the counts in one line."""
        if not self.files:
            return "nothing to remove: no retention is set, see DERAIN_RETENTION__REPORTS_DAYS and others"
        return "removed: " + ", ".join(f"{count:,} files of {kind}" for kind, count in self.files.items())


def maintain_workspace(settings: Settings, now: datetime | None = None) -> Removed:
    """Apply the retention settings to the workspace.

    Parameters
    ----------
    settings : Settings
        Workspace and retention.
    now : datetime, optional
        The moment from which ages count. Default: now.

    Raises
    ------
    TransientError, AccessDenied
        If storage fails; files removed until then stay removed.
    """
    now, days = now or datetime.now(UTC), settings.retention
    files: dict[str, int] = {}
    folders = {
        "reports": (("reports", "reviews"), days.reports_days),
        "plans": (("plans",), days.plans_days),
        "evaluations": (("evaluations",), days.evaluations_days),
    }
    for kind, (names, kept) in folders.items():
        if kept is not None:
            before = now - timedelta(days=kept)
            files[kind] = sum(_emptied(f"{settings.workspace}/{name}", before) for name in names)
    if days.leases_days is not None:
        before = now - timedelta(days=days.leases_days)
        files["leases"] = forget_leases(lease_location(settings.workspace), before)
    if days.pool_versions_days is not None:
        files["earlier pool versions"] = Pool(settings.workspace).forget_versions(days.pool_versions_days)
    return Removed(files)


def _emptied(url: str, before: datetime) -> int:
    """Delete the files of a folder that were last written before a moment; return their number."""
    location = open_location(url)
    try:
        keys = list(location.keys_before(before))
    except ObjectNotFound:  # nothing was ever written there
        return 0
    for key in keys:
        location.delete(key)
    return len(keys)

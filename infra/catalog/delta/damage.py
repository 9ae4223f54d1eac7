"""Checks that refuse a damaged table with a message that names the file and the command that rebuilds the table.

`refuse_damaged` is the usual entry point.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from infra.catalog.delta.log import FIRST_COMMIT, LOG, Damage, data_damages, is_data, read_log
from infra.errors import STORAGE_ERRORS, RetryPolicy, UserError
from infra.settings import read_retry_policy
from infra.storage.location import Location, existing, is_local, open_location

logger = logging.getLogger(__name__)

WAY_OUT = (
    "`derain repair` (or `python -m flows.repair`) rebuilds it from what can be read; no output is touched"
)


class CatalogDamaged(UserError):
    """A file of the catalog is damaged or missing. The message names it and the command that rebuilds the table."""


def find_damages(url: str, policy: RetryPolicy | None = None) -> list[Damage]:
    """Find the damaged files of a table: those of its log or, if the log is whole, those of its data."""
    location = open_location(url, policy)
    if repair_marker_exists(url):
        return [Damage(LOG, "is not whole: a repair was interrupted")]
    log = read_log(location)
    damages = log.damages + data_damages(location, log, thorough=False)
    return damages or data_damages(location, log, thorough=True)


def refuse_damaged(url: str) -> None:
    """Raise `CatalogDamaged` if a table that could not be read is damaged; do nothing if it is whole."""
    try:
        damages = find_damages(url, read_retry_policy().short())
    except STORAGE_ERRORS as error:  # storage failed, which the caller reports
        logger.debug("%s could not be checked for damage: %s", url, error)
        return
    if damages:
        raise damaged(url, damages[0])


def refuse_empty_log_files(url: str) -> None:
    """Refuse a local table with an empty log file: deltalake reads it as an empty commit, and rows disappear.

    Raises
    ------
    CatalogDamaged
        The message names the file.
    """
    if not is_local(url):  # an object in a bucket is written whole or not at all
        return
    with os.scandir(Path(url, LOG)) as entries:
        empty = sorted(
            entry.name for entry in entries if entry.name.endswith(".json") and entry.stat().st_size == 0
        )
    if empty:
        raise damaged(url, Damage(f"{LOG}/{empty[0]}", "is empty"))


def refuse_table_without_log(url: str) -> None:
    """Refuse to create a table where one existed: there are data files without a log, or a repair was interrupted.

    Raises
    ------
    CatalogDamaged
        The message says which of the two.
    """
    if repair_marker_exists(url):
        raise damaged(url, Damage(LOG, "is not whole: a repair was interrupted"))
    location = open_location(url)
    has_data = any(is_data(ref.key) for ref in existing(location))
    if has_data and not location.exists(f"{LOG}/{FIRST_COMMIT}"):  # else another process has just created it
        raise damaged(url, Damage(LOG, "is missing, although there are data files"))


def damaged(url: str, damage: Damage) -> CatalogDamaged:
    """Return the error for a damaged file."""
    return CatalogDamaged(f"{url}/{damage.key} {damage.fault}: {WAY_OUT}")


def repair_marker(url: str) -> tuple[Location, str]:
    """Return the location of the marker of a running repair: the folder of all tables, and the key in it."""
    folder, _, name = url.rpartition("/")
    return open_location(folder), f"{name}.repairing"


def repair_marker_exists(url: str) -> bool:
    """Return whether a repair of the table is running or was interrupted."""
    location, key = repair_marker(url)
    return location.exists(key)

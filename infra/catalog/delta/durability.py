"""Syncing of a local table's commits to disk, which deltalake leaves to the operating system.

Without it, a power cut may leave a commit with an empty log file or data file.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from urllib.parse import unquote

from infra.catalog.delta.log import LOG
from infra.storage.local import sync_to_disk
from infra.storage.location import is_local

logger = logging.getLogger(__name__)


def sync_version(url: str, version: int) -> None:
    """Sync to disk the log file of a version, the data files that it adds, and their folders.

    Parameters
    ----------
    url : str
        URL of the table; a table in a bucket is left alone.
    version : int
        The version that was just committed.
    """
    if not is_local(url):
        return
    log = Path(url, LOG)
    commit = log / f"{version:020d}.json"
    try:
        lines = [json.loads(line) for line in commit.read_text().splitlines()]
        added = [Path(url, unquote(line["add"]["path"])) for line in lines if "add" in line]
        checkpoint = list(log.glob(f"{version:020d}.checkpoint*.parquet"))
        hint = [log / "_last_checkpoint"] if checkpoint else []
        for path in (*added, commit, *checkpoint, *hint, log, Path(url)):
            sync_to_disk(path)
    except (OSError, ValueError) as error:  # the commit has landed, but may not survive a power cut
        logger.warning("%s: version %d is not synced to disk: %s", url, version, error)

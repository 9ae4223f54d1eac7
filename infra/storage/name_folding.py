"""Detection of folders that treat two names as the same, such as `A.jpg` and `a.jpg`, or `é` in two Unicode forms.

exFAT, NTFS, APFS and most network shares do. Buckets and the usual Linux file systems take names literally.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from dataclasses import dataclass

import polars as pl

from infra.storage.location import is_local
from infra.storage.temporary_files import nearest_folder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NameFolding:
    """The differences between names that a folder ignores."""

    ignores_case: bool = False
    normalises: bool = False
    """Whether `é` as one character and as `e` with a combining accent are the same name."""

    def __bool__(self) -> bool:
        return self.ignores_case or self.normalises

    def fold(self, names: pl.Series) -> pl.Series:
        """Return folded names, which are equal if the folder treats the names as the same."""
        if self.normalises:
            names = names.str.normalize("NFC")
        return names.str.to_lowercase() if self.ignores_case else names


def probe_name_folding(url: str) -> NameFolding:
    """Write an empty file to detect whether a folder, or the one that it will be created in, folds names.

    Parameters
    ----------
    url : str
        An absolute local path; any other URL takes names literally.
    """
    if not is_local(url):
        return NameFolding()
    name = f".derain-probe-{os.getpid()}-\u00e9.tmp"  # listings skip it
    folder = nearest_folder(url)
    path = os.path.join(folder, name)
    try:
        open(path, "wb").close()
        try:
            return NameFolding(
                ignores_case=os.path.exists(os.path.join(folder, name.replace("probe", "PROBE"))),
                normalises=os.path.exists(os.path.join(folder, unicodedata.normalize("NFD", name))),
            )
        finally:
            os.unlink(path)
    except (OSError, UnicodeEncodeError) as error:
        # The preflight reports a folder that is not writable.
        logger.warning("%s: could not detect whether it ignores case: %s", folder, error)
        return NameFolding()

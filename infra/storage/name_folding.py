"""Whether a folder takes two different names for one: `A.jpg` and `a.jpg`, or the two ways to write `é` in Unicode.

exFAT, NTFS, APFS and most network shares do so. Buckets and the usual file systems of Linux take names literally.
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
    """Which differences between names a folder does not see."""

    ignores_case: bool = False
    normalises: bool = False
    """`é` is one name, whether written as one character or as `e` with an accent."""

    def __bool__(self) -> bool:
        return self.ignores_case or self.normalises

    def fold(self, names: pl.Series) -> pl.Series:
        """Return names that are equal where the folder takes them for one."""
        if self.normalises:
            names = names.str.normalize("NFC")
        return names.str.to_lowercase() if self.ignores_case else names


def probe_name_folding(url: str) -> NameFolding:
    """Find out by writing an empty file whether a folder, or the one that it will be made in, folds names.

    Parameters
    ----------
    url : str
        An absolute local path; anything else takes names literally.
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
    except (
        OSError,
        UnicodeEncodeError,
    ) as error:  # whether it can be written at all is for the preflight to say
        logger.warning("%s: whether it ignores case is not known: %s", folder, error)
        return NameFolding()

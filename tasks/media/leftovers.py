"""Leftovers (`leftover_names`): files of NAS systems, desktops, phones and sync tools among photographs.

Thumbnails, recycle bins, old versions and AppleDouble files look like images by their names. Folders and files with
these names are left out, ignoring case, unless an `include` glob contains the name.
"""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

LEFTOVER = "NAS or desktop leftover"
"""The reason under which leftovers are counted."""

FOLDERS = {
    "thumbnails": ("@eaDir", ".@__thumb", ".thumbnails", ".thumbs", ".thumb", ".AppleDouble", ".picasaoriginals"),
    "recycle bins": (
        "#recycle", "@Recycle", ".recycle", "RECYCLER", "$RECYCLE.BIN", ".Trash", ".Trashes", ".Trash-*",
        "Network Trash Folder", "trashbox", "files_trashbin",
    ),
    "versions and snapshots": (
        "#snapshot", "@Recently-Snapshot", ".snapshot", ".snapshots", ".zfs", ".stversions", ".versions",
        "files_versions", ".DocumentRevisions-V100",
    ),
    "system": (
        "System Volume Information", "lost+found", "@tmp", "@sharebin", "@SynoResource", ".streams",
        ".@upload_cache", "__MACOSX", ".Spotlight-V100", ".fseventsd", ".TemporaryItems", "Temporary Items",
        ".AppleDB", ".AppleDesktop", ".wdmc", ".twonkymedia", ".dropbox.cache", ".stfolder", ".sync", ".cache",
        ".local",
    ),
}  # fmt: skip
"""Names of folders by kind of content; `*` matches any characters within one name."""

FILES = (
    "Thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".DS_Store", "._*", "~$*", ".trashed-*",
    ".pending-*", ".picasa.ini", ".directory", "*@SynoEAStream", "*@SynoResource", "Icon\r",
)  # fmt: skip
"""Names of files, with the same patterns."""


def leftover_names(key: str) -> tuple[str, ...]:
    """Return the parts of a key that are names of leftovers; empty for any other key.

    Parameters
    ----------
    key : str
        Key of a file, or of a folder with a trailing slash.
    """
    folder, _, name = key.rpartition("/")
    return (*_leftover_folders(folder), name) if _FILE.fullmatch(name) else _leftover_folders(folder)


@lru_cache(maxsize=1024)  # a listing has thousands of keys per folder
def _leftover_folders(folder: str) -> tuple[str, ...]:
    return tuple(part for part in folder.split("/") if _FOLDER.fullmatch(part))


def _one_of(names: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(fnmatch.translate, names)), re.IGNORECASE)


_FOLDER = _one_of(tuple(name for names in FOLDERS.values() for name in names))
_FILE = _one_of(FILES)

"""Links that lead from one folder into another (`leads_into`, `is_shared`)."""

from __future__ import annotations

import os


def leads_into(folder: str, key: str, other: str) -> bool:
    """Return whether a file would be written to another folder, because a folder above it is a link.

    Parameters
    ----------
    folder : str
        Absolute path of the folder that the file belongs to, without links.
    key : str
        Key of the file; a link in its own place would be replaced, not followed.
    other : str
        Absolute path of the other folder, without links.
    """
    above = os.path.realpath(os.path.dirname(os.path.join(folder, key)))
    if os.path.commonpath([above, folder]) == folder:
        return False  # no link leads out of the folder, which may itself lie in the other one
    return os.path.commonpath([above, other]) == other


def is_shared(folder: str, other: str, key: str) -> bool:
    """Return whether two folders reach the same folder under a key, because each has a link to it.

    Parameters
    ----------
    folder, other : str
        Absolute paths of two folders.
    key : str
        Key of a file in both.
    """
    first, second = (os.path.realpath(os.path.dirname(os.path.join(each, key))) for each in (folder, other))
    return first == second

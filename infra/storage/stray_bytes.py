r"""Keys of files whose names are not valid UTF-8 (`text_of`, `path_of`), which a table cannot store.

The invalid bytes become `\xNN` in a key. A name may contain such text literally, so a key does not always lead back
to the file that it was made from; a listing leaves out a file that it does not lead back to.
"""

from __future__ import annotations

import os
import re

_STRAY_BYTE = re.compile(rb"\\x([89a-f][0-9a-f])")


def text_of(name: str) -> str:
    r"""Return a file name as text, in which bytes that are not UTF-8 become `\xNN`."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def path_of(folder: str, key: str) -> str:
    r"""Return the path of a key; `\xNN` stands for a byte if no file has the key as its literal name.

    Parameters
    ----------
    folder : str
        Absolute path of the folder, taken literally.
    key : str
        Key with forward slashes.
    """
    path = os.path.join(folder, *key.split("/"))
    if "\\x" not in key or os.path.lexists(path):
        return path
    encoded = _STRAY_BYTE.sub(lambda match: bytes.fromhex(match[1].decode()), os.fsencode(key))
    stray = os.path.join(folder, os.fsdecode(encoded))
    return stray if os.path.lexists(stray) else path

"""Check that this user may write what another user created in a workspace."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from infra.errors import AccessDenied
from infra.storage.location import is_local

_WRITTEN = (
    "catalog",
    "catalog/*",
    "catalog/*/_delta_log",
    "leases",
    "models",
    "reports",
    "mlflow.db",
    "artifacts",
)
"""Globs of the folders and files that runs write in a workspace."""


def refuse_unwritable(workspace: str) -> None:
    """Refuse a local workspace that another user created and this user may not write to.

    Raises
    ------
    AccessDenied
        The message names the first such file or folder, its owner, its mode and the way out.
    """
    if not is_local(workspace):
        return
    for pattern in _WRITTEN:
        for path in sorted(Path(workspace).glob(pattern)):
            if not os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
                raise AccessDenied(_line(path, workspace))


def _line(path: Path, workspace: str) -> str:
    found = path.stat()
    return (
        f"{path} cannot be written by {_name(os.geteuid())}: it belongs to {_name(found.st_uid)}"
        f" ({stat.filemode(found.st_mode)}); let your group write (chmod -R g+rwX {workspace}, and umask 002),"
        " or set DERAIN_WORKSPACE to your own workspace"
    )


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # in a container, the user may have no name
        return f"user {uid}"

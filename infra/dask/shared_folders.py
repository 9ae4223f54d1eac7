"""Check that remote workers see the folders of a run, as on a network file system under the same path."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.dask.calls import ask_workers
from infra.dask.cluster import connect
from infra.errors import UserError
from infra.settings import Settings, absolute_url
from infra.storage.location import is_local
from infra.storage.temporary_files import nearest_folder, temporary_name

_NAMES = 20
"""Number of entries of a source that workers must find."""


class FolderNotShared(UserError):
    """Remote workers do not see a folder of this machine. The message names both and the way out."""


@dataclass(frozen=True, slots=True)
class SharedFolder:
    """A folder that workers must see, and the names that they must find in it."""

    url: str
    folder: str
    names: tuple[str, ...]
    writable: bool

    def fault(self) -> str | None:
        """Return what is wrong with the folder as seen by this process, or None; runs on workers."""
        if not all(os.path.lexists(os.path.join(self.folder, name)) for name in self.names):
            return "do not see"
        return "may not write to" if self.writable and not os.access(self.folder, os.W_OK) else None


def refuse_unshared_folders(settings: Settings, read: Iterable[str], written: Iterable[str]) -> None:
    """Check that the workers of a remote cluster see the folders of a run; do nothing without such a cluster.

    Parameters
    ----------
    settings : Settings
        `cluster` names the scheduler.
    read : iterable of str
        Folders or URLs that workers read from.
    written : iterable of str
        Folders or URLs that workers write to; they must see a temporary file that is created there.

    Raises
    ------
    FolderNotShared
        If a worker does not see one of them, or may not write to it.
    ClusterUnreachable
        If the cluster cannot be asked.
    """
    local = [url for url in read if is_local(url)], [url for url in written if is_local(url)]
    if settings.cluster is None or not any(local):
        return
    with ExitStack() as stack:
        folders = [_listed(absolute_url(url)) for url in local[0]]
        folders += [stack.enter_context(_marked(absolute_url(url))) for url in local[1]]
        client = stack.enter_context(connect(settings))
        for folder in folders:
            answers = ask_workers(client, SharedFolder.fault, folder)
            _refuse(settings.cluster, folder, answers)


def _refuse(cluster: str, folder: SharedFolder, answers: dict[str, str | None]) -> None:
    faulty = {worker: fault for worker, fault in answers.items() if fault}
    if not faulty:
        return
    worker, fault = next(iter(faulty.items()))
    raise FolderNotShared(
        f"{folder.url}: {len(faulty)} of {len(answers)} workers of {cluster} {fault} this folder, such as {worker};"
        " share it with their hosts under the same path, or use s3://bucket/prefix"
    )


def _listed(path: str) -> SharedFolder:
    """Describe a source by its first entries."""
    if not os.path.isdir(path):
        return SharedFolder(path, os.path.dirname(path), (os.path.basename(path),), writable=False)
    names = heapq.nsmallest(_NAMES, (entry.name for entry in os.scandir(path)))
    return SharedFolder(path, path, tuple(names), writable=False)


@contextmanager
def _marked(path: str) -> Iterator[SharedFolder]:
    """Describe a folder by a file that exists for the duration of the block."""
    folder, name = nearest_folder(path), temporary_name()
    mark = Path(folder, name)
    mark.touch()
    try:
        yield SharedFolder(path, folder, (name,), writable=True)
    finally:
        mark.unlink(missing_ok=True)

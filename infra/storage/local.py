"""`LocalLocation`, a folder on this machine as a location."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import BinaryIO, TypeVar

from infra.errors import (
    ExclusiveWritesMissing,
    KeyRefused,
    ObjectChanged,
    ObjectNotFound,
    RenamingMissing,
    RetryPolicy,
    printable,
    retry,
)
from infra.failpoints import failpoint
from infra.records import ImageRef, StoredObject
from infra.storage.folder_walk import FolderWalk
from infra.storage.listing import ListingRules
from infra.storage.local_errors import translate_errors
from infra.storage.stray_bytes import path_of
from infra.storage.temporary_files import nearest_folder, sweep, temporary_name

T = TypeVar("T")
logger = logging.getLogger(__name__)

UNSUPPORTED = {errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EXDEV}
"""Error numbers from file systems that do not support links or renaming."""
NO_LINKS = UNSUPPORTED | {errno.EMLINK}
NO_RENAMING = UNSUPPORTED | {errno.EEXIST}
NO_SYNCING = {errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class LocalLocation:
    """A folder; see `infra.storage.location.Location`.

    `put` writes next to the target, syncs to disk and renames: a crash of the machine leaves the old file or the
    whole new one. The folder itself is not synced: if a power cut undoes a rename, the output is missing, and the
    next run makes it again.
    """

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        self.url = url
        self._policy = policy

    def list(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """Yield every file in key order; see `infra.storage.folder_walk`."""
        return FolderWalk(self.url, rules or ListingRules(), self._policy).refs()

    def fetch(self, key: str, size_bytes: int | None = None) -> bytes:
        """Return the bytes of a file, whose size must be the listed one and must not change during the read."""

        def attempt() -> bytes:
            with _open(self._find(key)) as file:
                size = os.fstat(file.fileno()).st_size
                data = file.read()
            expected = size if size_bytes is None else size_bytes
            if len(data) != expected:
                raise ObjectChanged(f"{len(data)} bytes instead of {expected}: it changes or was replaced")
            return data

        return self._retry(attempt, key)

    def fetch_part(self, key: str, start: int, stop: int | None = None) -> bytes:
        """Return a range of bytes of a file; fewer if the file ends earlier."""

        def attempt() -> bytes:
            with _open(self._find(key)) as file:
                size = os.fstat(file.fileno()).st_size
                first = start if start >= 0 else max(size + start, 0)
                file.seek(first)
                return file.read(-1 if stop is None else max(stop - first, 0))

        return self._retry(attempt, key)

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write a file atomically, and create the folders above it."""
        target = self._path(key)
        self._retry(lambda: _replace(target, data), key)
        return StoredObject(len(data), None)

    def create(self, key: str, data: bytes) -> bool:
        """Write a file atomically unless it exists; return whether it was written."""
        target = self._path(key)
        return self._retry(lambda: _link(target, data), key)

    def delete(self, key: str) -> None:
        """Remove a file if it exists."""
        try:
            self._retry(lambda: os.unlink(self._find(key)), key)
        except ObjectNotFound:
            return

    def exists(self, key: str) -> bool:
        """Return whether a file exists."""
        try:
            return stat.S_ISREG(self._retry(lambda: os.stat(self._find(key)), key).st_mode)
        except ObjectNotFound:
            return False

    def keys_before(self, moment: datetime) -> Iterator[str]:
        """Yield the files that were last written before a moment."""
        for ref in self.list():
            modified_ns = int(ref.etag.partition("-")[2])  # see FolderWalk; the file may have vanished since
            if modified_ns < moment.timestamp() * 1e9:
                yield ref.key

    def presigned(self, key: str, seconds: float) -> None:
        """Return None: no URL opens a file for someone on another machine."""

    def free_bytes(self) -> int:
        """Return the free bytes on the disk that the folder is, or will be, on."""
        return shutil.disk_usage(nearest_folder(self.url)).free

    def sweep(self) -> int:
        """Remove the half-written files of killed runs; return their number."""
        return sweep(self.url)

    def check(self, *, writable: bool) -> None:
        """Check that the folder can be read or, if asked, written or created."""
        if not writable:
            self._retry(lambda: os.scandir(self.url).close(), "", self._policy.short())
            return
        self._retry(lambda: _try_to_replace(self._probe()), "", self._policy.short())

    def check_exclusive(self) -> None:
        """Check that the second of two attempts to create a file fails."""
        probe = self._probe()

        def attempt() -> bool:
            try:
                return _link(probe, b"is there one?") and not _link(probe, b"is there another?")
            finally:
                _unlink(probe)

        if not self._retry(attempt, "", self._policy.short()):
            raise ExclusiveWritesMissing(
                f"{self.url}: this file system creates a file that exists already, so two runs could not be"
                " kept apart; choose a workspace on another one"
            )

    def _probe(self) -> str:
        """Return the path of a probe file in the folder, or in the nearest existing folder above it."""
        nearest = nearest_folder(self.url)
        if not os.path.isdir(nearest):
            raise ObjectNotFound(f"{self.url}: {nearest} is not a folder")
        return os.path.join(nearest, temporary_name())

    def _path(self, key: str) -> str:
        parts = key.split("/")
        if "\0" in key or any(part in ("", ".", "..") for part in parts):
            raise KeyRefused(f"{key!r} is not the name of a file inside {self.url}")
        return os.path.join(self.url, *parts)

    def _find(self, key: str) -> str:
        """Return the path of an existing file."""
        path = self._path(key)
        return path_of(self.url, key) if "\\x" in key else path

    def _retry(self, action: Callable[[], T], key: str, policy: RetryPolicy | None = None) -> T:
        url = printable(f"{self.url}/{key}" if key else self.url)
        return retry(lambda: translate_errors(action, url), policy or self._policy, url)


def sync_to_disk(path: str | os.PathLike[str]) -> None:
    """Wait until a file or folder that another library wrote is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open(path: str) -> BinaryIO:
    """Open a regular file for reading: a pipe would block its reader, and opening a device may have effects.

    Raises
    ------
    KeyRefused
        If it is not a regular file.
    """
    kind = stat.S_IFMT(os.stat(path).st_mode)
    if kind != stat.S_IFREG:
        raise KeyRefused(f"{printable(path)} is {_KINDS.get(kind, 'something else')}, not a file")
    # If a pipe has replaced the file meanwhile, this does not wait for a writer.
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))


def _write(path: str, data: bytes) -> None:
    # The mode follows the user's umask; tempfile would create files that only their owner can read.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        _sync(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_SYNCING:
            raise
        logger.debug("a file system that cannot sync: %s", error.strerror)


def _try_to_replace(probe: str) -> None:
    """Write a file and rename it over another, as `put` does.

    Raises
    ------
    RenamingMissing
        If writing works but renaming does not.
    """
    renamed = os.path.join(os.path.dirname(probe), temporary_name())
    try:
        for path in (probe, renamed):
            _write(path, b"can this be written?")
        os.replace(probe, renamed)
    except OSError as error:
        if error.errno not in NO_RENAMING or not os.path.lexists(renamed):
            raise
        raise RenamingMissing(
            f"{os.path.dirname(probe)}: files cannot be renamed there ({error.strerror}), so nothing could be"
            " written whole; choose another folder, or name the bucket behind it as s3://bucket/prefix"
        ) from error
    finally:
        _unlink(probe)
        _unlink(renamed)


def _temporary_path(target: str) -> str:
    folder = os.path.dirname(target)
    try:
        os.makedirs(folder, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise KeyRefused(f"{target} cannot be a file: a part of its path is one already") from error
    return os.path.join(folder, temporary_name())


def _replace(target: str, data: bytes) -> None:
    temporary = _temporary_path(target)
    try:
        _write(temporary, data)
        failpoint("during-put", os.path.basename(target))
        os.replace(temporary, target)
    except BaseException:
        _unlink(temporary)
        raise


def _link(target: str, data: bytes) -> bool:
    temporary = _temporary_path(target)
    try:
        _write(temporary, data)
        os.link(temporary, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _open_exclusively(target, data)
    finally:
        _unlink(temporary)
    return True


def _open_exclusively(target: str, data: bytes) -> bool:
    """Create a file on a file system without links; a reader may see it half-written."""
    try:
        _write(target, data)
    except FileExistsError:
        return False
    return True


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return

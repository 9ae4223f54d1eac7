"""Recursive listing of a folder in key order, with only the names of one branch in memory: see `FolderWalk`.

Links to folders are followed, but not in circles. A sub-folder that cannot be read is logged and counted, and the
rest is still listed, unless the rules need that folder.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from infra.errors import (
    AccessDenied,
    KeyRefused,
    ObjectNotFound,
    RetryPolicy,
    StorageError,
    UserError,
    printable,
    retry,
)
from infra.records import ImageRef
from infra.storage.listing import (
    BROKEN_LINK,
    HALF_WRITTEN,
    LOOP,
    NOT_A_FILE,
    STRAY_NAME,
    UNREADABLE,
    VANISHED,
    ListingRules,
)
from infra.storage.local_errors import CHECK_MODE, translate_errors
from infra.storage.stray_bytes import path_of, text_of
from infra.storage.temporary_files import is_temporary

logger = logging.getLogger(__name__)

GONE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # vanished since the folder was read, or broken links

Identity = tuple[int, int]
"""Device and inode number of a file."""


class LinkIntoDestination(UserError):
    """A link in the source leads into the destination."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """A folder whose listing is in progress."""

    path: str
    prefix: str
    identity: Identity
    names: Iterator[str]
    """Remaining names in key order; names of folders end with a slash."""
    links: frozenset[str]
    """The names that are links."""


class FolderWalk:
    """One listing of a folder.

    Parameters
    ----------
    root : str
        Absolute path of the folder.
    rules : ListingRules
        Names the folders that are not entered, and those without which the listing fails; counts what is left out.
    policy : RetryPolicy
        Limits how long a folder that cannot be read is retried.
    """

    def __init__(self, root: str, rules: ListingRules, policy: RetryPolicy) -> None:
        self._root = root
        self._rules = rules
        self._policy = policy
        self._left_out = rules.left_out
        self._barred = _identity_of(rules.barred)

    def refs(self) -> Iterator[ImageRef]:
        """Yield every file in key order.

        Raises
        ------
        ObjectNotFound, AccessDenied, StorageError
            If the root cannot be read, or a folder that the rules need.
        LinkIntoDestination
            If a link leads to or into the barred folder.
        """
        branches = [self._refuse_if_barred(self._opened(self._root, ""))]
        while branches:
            branch = branches[-1]
            name = next(branch.names, None)
            if name is None:
                branches.pop()
            elif name.endswith("/"):
                branches += self._below(branches, name)
            else:
                yield from self._reference(branch, name)

    def _opened(self, path: str, prefix: str) -> _Branch:
        def attempt() -> _Branch:
            here = os.stat(path)
            names, links = _names(path)
            return _Branch(path, prefix, (here.st_dev, here.st_ino), iter(names), links)

        return retry(lambda: translate_errors(attempt, printable(path)), self._policy, printable(path))

    def _below(self, branches: list[_Branch], name: str) -> list[_Branch]:
        """Open a sub-folder and return its branch, or nothing if it must not or cannot be entered."""
        parent = branches[-1]
        path, key = os.path.join(parent.path, name[:-1]), parent.prefix + text_of(name)
        reason = self._rules.closed(key)
        if reason is not None:
            self._left_out.leave_folder(reason)
            return []
        if name in parent.links:
            self._refuse_link(path)
        try:
            branch = self._opened(path, key)
        except ObjectNotFound as error:
            return self._not_entered(VANISHED, error)
        except (AccessDenied, KeyRefused, StorageError) as error:
            if self._rules.needed(key):
                raise
            return self._not_entered(UNREADABLE, error)
        self._refuse_if_barred(branch)
        if any(branch.identity == above.identity for above in branches):
            return self._not_entered(LOOP, f"{printable(path)} leads back to a folder above it")
        return [branch]

    def _not_entered(self, reason: str, fault: object) -> list[_Branch]:
        self._left_out.leave_folder(reason)
        logger.warning("left out: %s", fault)
        return []

    def _refuse_if_barred(self, branch: _Branch) -> _Branch:
        """Refuse the destination under another name, such as a second mount."""
        if branch.identity == self._barred:
            raise _into_destination(branch.path, str(self._rules.barred))
        return branch

    def _refuse_link(self, path: str) -> None:
        barred = self._rules.barred
        target = os.path.realpath(path)
        if barred is not None and (target == barred or target.startswith(barred.rstrip("/") + "/")):
            raise _into_destination(path, barred)

    def _reference(self, branch: _Branch, name: str) -> Iterator[ImageRef]:
        path, key = os.path.join(branch.path, name), branch.prefix + text_of(name)
        if is_temporary(key):
            self._left_out.leave_object(HALF_WRITTEN)
            return
        if "\\x" in key and path_of(self._root, key) != path:
            logger.warning("left out: %s: bytes of its name are not text; rename it", printable(path))
            self._left_out.leave_object(STRAY_NAME)
            return
        if name in branch.links:
            self._refuse_link(path)
        try:
            found = os.stat(path)
        except OSError as error:
            if isinstance(error, PermissionError) and self._rules.needed(branch.prefix):
                # The folder lets its names be read, but not its files.
                raise AccessDenied(f"{printable(branch.path)}: {error.strerror}; {CHECK_MODE}") from error
            self._record_unreadable(path, error, is_link=name in branch.links)
            return
        if stat.S_ISREG(found.st_mode):
            yield ImageRef(key, f"{found.st_size}-{found.st_mtime_ns}", found.st_size)
        else:
            self._left_out.leave_object(NOT_A_FILE)

    def _record_unreadable(self, path: str, error: OSError, *, is_link: bool) -> None:
        """Count a file that cannot be inspected; one that has vanished is not part of the source."""
        if error.errno not in GONE:
            logger.warning("left out: %s: %s", printable(path), error.strerror)
            self._left_out.leave_object(UNREADABLE)
        elif is_link:
            self._left_out.leave_object(BROKEN_LINK)


def _names(folder: str) -> tuple[list[str], frozenset[str]]:
    """Return the names in a folder in key order, and those that are links."""
    names, links = [], set()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name + "/" if _is_folder(entry) else entry.name
            names.append(name)
            if entry.is_symlink():
                links.add(name)
    return sorted(names, key=os.fsencode), frozenset(links)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself, or to an inaccessible file
        return False


def _identity_of(path: str | None) -> Identity | None:
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:  # it is created later
        return None
    return found.st_dev, found.st_ino


def _into_destination(path: str, destination: str) -> LinkIntoDestination:
    return LinkIntoDestination(
        f"{printable(path)} leads into the destination {destination}: derained images would be treated as rainy"
        " ones; remove the link, leave it out with --exclude, or choose another destination"
    )

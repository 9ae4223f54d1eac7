"""`Location`, one small interface to folders and buckets: writing whole objects, reading them or parts, listing.

Every process opens the locations that it needs by URL with `open_location`; they are cheap, picklable and
thread-safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

from infra.errors import ObjectNotFound, RetryPolicy, UrlRefused
from infra.records import ImageRef, StoredObject
from infra.settings import absolute_url, read_retry_policy
from infra.storage.listing import ListingRules
from infra.storage.local import LocalLocation


class Location(Protocol):
    """A folder or bucket prefix. Keys are relative to it and literal: nothing is quoted or normalised."""

    url: str

    def list(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """Yield every object, page by page, and count what is left out in `rules.left_out`."""

    def fetch(self, key: str, size_bytes: int | None = None) -> bytes:
        """Return a whole object; `size_bytes` is its size according to the listing."""

    def fetch_part(self, key: str, start: int, stop: int | None = None) -> bytes:
        """Return the bytes from `start` up to `stop`; a negative start without a stop counts from the end."""

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write a whole object atomically, replacing any other; return its description in later listings."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a whole object unless it exists; return whether it was written."""

    def delete(self, key: str) -> None:
        """Remove an object; do nothing if it does not exist."""

    def exists(self, key: str) -> bool:
        """Return whether an object exists."""

    def keys_before(self, moment: datetime) -> Iterator[str]:
        """Yield the objects that were last written before a moment."""

    def presigned(self, key: str, seconds: float) -> str | None:
        """Return a URL at which anyone can read an object for some time; None if it is in a folder."""

    def free_bytes(self) -> int | None:
        """Return the free space in bytes; None if it is unknown."""

    def sweep(self) -> int:
        """Remove the half-written files of killed runs; return their number."""

    def check(self, *, writable: bool) -> None:
        """Raise `ObjectNotFound`, `AccessDenied`, `StorageError` or `RenamingMissing` if it cannot be used."""

    def check_exclusive(self) -> None:
        """Raise `ExclusiveWritesMissing` if `create` would not notice an existing object."""


def is_local(url: str) -> bool:
    """Return whether a URL is a path on this machine.

    Parameters
    ----------
    url : str
        A path, `file:///path`, or a URL of another scheme.
    """
    return _scheme(url) in (None, "file")


def open_location(url: str, policy: RetryPolicy | None = None) -> Location:
    """Open a folder or bucket prefix, without accessing it yet.

    Parameters
    ----------
    url : str
        A local path or `s3://bucket/prefix`, taken literally.
    policy : RetryPolicy, optional
        How long to retry. Default: `DERAIN_RETRY_SECONDS`, or 45 seconds.

    Raises
    ------
    UrlRefused
        For an unsupported scheme, a URL without a bucket, or a path that leads nowhere.
    """
    policy = policy or read_retry_policy()
    if is_local(url):
        return LocalLocation(absolute_url(url), policy)
    refuse_scheme(url)
    from infra.storage.s3 import S3Location  # imports take a second: only if a bucket is used

    return S3Location(absolute_url(url), policy)


def refuse_scheme(url: str) -> None:
    """Refuse a URL that is neither local nor of S3.

    Raises
    ------
    UrlRefused
        The message says which URLs are supported.
    """
    if _scheme(url) not in (None, "file", "s3"):
        raise UrlRefused(f"{url}: {_scheme(url)}:// is not supported; use a local path or s3://bucket/prefix")


def local_home(workspace: str) -> Path:
    """Return the folder on this machine for what a workspace keeps there: itself, or `./var` if it is remote."""
    return Path(workspace if is_local(workspace) else "var").absolute()


def existing(location: Location) -> Iterator[ImageRef]:
    """Yield every object of a location; a missing folder or bucket counts as empty."""
    try:
        yield from location.list()
    except ObjectNotFound:
        return


def _scheme(url: str) -> str | None:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    return match[1] if match else None

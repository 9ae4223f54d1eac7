"""Folders and buckets behind one small interface: whole objects in, whole ones or parts out, listed as a stream.

Locations are opened by URL in every process that needs one; they are cheap, picklable and thread-safe.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Protocol

from infra.errors import (
    AccessDenied,
    KeyRefused,
    ObjectNotFound,
    RetryPolicy,
    StorageError,
    TransientError,
    UrlRefused,
)
from infra.records import ImageRef, StoredObject
from infra.settings import absolute_url, read_retry_policy
from infra.storage.listing import ListingRules
from infra.storage.local import LocalLocation

__all__ = [
    "AccessDenied",
    "KeyRefused",
    "Location",
    "ObjectNotFound",
    "StorageError",
    "TransientError",
    "UrlRefused",
    "is_local",
    "open_location",
]


class Location(Protocol):
    """A folder or a bucket prefix. Keys are relative to it and literal: nothing is quoted or normalised."""

    url: str

    def list(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """Yield every object, page by page; what is not yielded is counted in `rules.left_out`."""

    def fetch(self, key: str, size_bytes: int | None = None) -> bytes:
        """Return a whole object; `size_bytes` is what the listing said of it."""

    def fetch_part(self, key: str, start: int, stop: int | None = None) -> bytes:
        """Return the bytes from `start` up to `stop`; a negative start alone means so many of the end."""

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write a whole object at once, over what may be there; return what a listing says of it from now on."""

    def create(self, key: str, data: bytes) -> bool:
        """Write a whole object unless there is one; tell whether it was written."""

    def delete(self, key: str) -> None:
        """Remove an object; an absent one is fine."""

    def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""

    def free_bytes(self) -> int | None:
        """Return the space left, where that is known."""

    def sweep(self) -> int:
        """Remove what killed runs left half-written; return how many files."""

    def check(self, *, writable: bool) -> None:
        """Raise `ObjectNotFound`, `AccessDenied`, `StorageError` or `RenamingMissing` where it cannot be used."""

    def check_exclusive(self) -> None:
        """Raise `ExclusiveWritesMissing` where `create` would not tell that an object is there already."""


def is_local(url: str) -> bool:
    """Tell whether a URL is a path on this machine.

    Parameters
    ----------
    url : str
        A path, `file:///path`, or a URL of another scheme.
    """
    return _scheme(url) in (None, "file")


def open_location(url: str, policy: RetryPolicy | None = None) -> Location:
    """Open a folder or a bucket prefix, without touching it yet.

    Parameters
    ----------
    url : str
        A local path or `s3://bucket/prefix`, taken literally.
    policy : RetryPolicy, optional
        How long to try again; by default `DERAIN_RETRY_SECONDS`, or 45 seconds.

    Raises
    ------
    UrlRefused
        For another scheme, a URL without a bucket, or a path that leads nowhere.
    """
    policy = policy or read_retry_policy()
    if is_local(url):
        return LocalLocation(absolute_url(url), policy)
    if _scheme(url) == "s3":
        from infra.storage.s3 import S3Location  # a second of imports: only where a bucket is used

        return S3Location(absolute_url(url), policy)
    raise UrlRefused(f"{url}: {_scheme(url)}:// is not supported; use a local path or s3://bucket/prefix")


def _scheme(url: str) -> str | None:
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", url)
    return match[1] if match else None

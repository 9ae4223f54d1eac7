"""`S3Location`, a bucket prefix as a location.

s3fs provides the session, its event loop in a thread and the handling of forks. Requests go to its client directly,
because s3fs strips `?versionId=` and slashes from keys, caches whole listings in memory, and cannot limit the time
of its retries.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, TypeVar, cast

from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from infra.errors import (
    AccessDenied,
    CredentialsRefused,
    ExclusiveWritesMissing,
    ObjectChanged,
    ObjectNotFound,
    RequestUnsupported,
    RetryPolicy,
    StorageError,
    TransientError,
    UrlRefused,
    one_line,
    printable,
    retry,
)
from infra.records import ImageRef, StoredObject
from infra.storage.credentials import is_amazon, renew, s3_options
from infra.storage.listing import FOLDER_MARKER, HALF_WRITTEN, LeftOut, ListingRules
from infra.storage.s3_errors import is_precondition, refuses_conditions, translate_errors
from infra.storage.s3_listing import entries
from infra.storage.temporary_files import is_temporary, temporary_name

T = TypeVar("T")

CONFIG = {
    "connect_timeout": 5,
    "read_timeout": 15,
    "max_pool_connections": 32,
    "retries": {"total_max_attempts": 1},  # retry() does the retries; two layers of them would take minutes
}
ARCHIVES = {"GLACIER", "DEEP_ARCHIVE"}
"""Storage classes whose objects must be restored before they can be read; `GLACIER_IR` is not one of them."""
WRITER = "derain-writer"
_kept: set[S3FileSystem] = set()


class S3Location:
    """A bucket or a prefix in a bucket; see `infra.storage.location.Location`.

    It holds no client: each process creates one per set of credentials when it is first used.
    """

    def __init__(self, url: str, policy: RetryPolicy) -> None:
        self.url = url
        self._bucket, _, prefix = url.removeprefix("s3://").partition("/")
        if not self._bucket:
            raise UrlRefused(f"{url}: no bucket; use s3://bucket/prefix")
        self._prefix = f"{prefix}/" if prefix else ""
        self._policy = policy

    def list(self, rules: ListingRules | None = None) -> Iterator[ImageRef]:
        """Yield every object in key order, with one page of 1,000 in memory."""
        left_out, amazon = (rules or ListingRules()).left_out, is_amazon()
        for entry in self._entries({"OptionalObjectAttributes": ["RestoreStatus"]} if amazon else {}):
            yield from self._reference(entry, left_out, archives=amazon)

    def keys_before(self, moment: datetime) -> Iterator[str]:
        """Yield the objects that were last written before a moment."""
        for entry in self._entries({}):
            key = entry["Key"].removeprefix(self._prefix)
            if key and not is_temporary(key) and entry["LastModified"] < moment:
                yield key

    def _entries(self, options: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        """Yield the entries of a listing, page by page."""
        request = {"Bucket": self._bucket, "Prefix": self._prefix, **options}
        return entries(lambda *asked: self._retry("", partial(self._ask, *asked)), request, self.url)

    def fetch(self, key: str, size_bytes: int | None = None) -> bytes:
        """Return the bytes of an object, whose size must be the one in the response header and in the listing."""

        def attempt() -> bytes:
            data = self._fetched(self._named(key))
            if size_bytes is not None and len(data) != size_bytes:
                raise ObjectChanged(f"{len(data)} bytes instead of the {size_bytes} that were listed")
            return data

        return self._retry(key, attempt)

    def fetch_part(self, key: str, start: int, stop: int | None = None) -> bytes:
        """Return a range of bytes of an object; fewer if the object ends earlier."""
        last = "" if stop is None else str(stop - 1)
        wanted = f"bytes={start}" if start < 0 else f"bytes={start}-{last}"
        return self._retry(key, partial(self._fetched, self._named(key) | {"Range": wanted}))

    def put(self, key: str, data: bytes) -> StoredObject:
        """Write an object in one request, which the server verifies by its MD5 digest."""
        answer = self._retry(key, lambda: self._put(key, data))
        etag = answer.get("ETag")
        return StoredObject(len(data), etag.strip('"') if etag else None)

    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless it exists; return whether it was written.

        Raises
        ------
        RequestUnsupported
            If the store does not support conditional writes.
        """
        # The response to a first attempt may be lost, and the second refused because of the first, even
        # without our retries, because aiohttp resends a PUT. So the object's metadata name its writer.
        writer = secrets.token_hex(16)

        def attempt() -> bool:
            try:
                self._put(key, data, IfNoneMatch="*", Metadata={WRITER: writer})
            except ClientError as error:
                if refuses_conditions(error):
                    raise RequestUnsupported(f"{self.url}: conditional writes are refused") from error
                if not is_precondition(error):
                    raise
                return self._writer_of(key) == writer
            return True

        return self._retry(key, attempt)

    def delete(self, key: str) -> None:
        """Remove an object if it exists."""
        try:
            self._retry(key, partial(self._ask, "delete_object", self._named(key)))
        except ObjectNotFound:
            return

    def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        try:
            self._retry(key, partial(self._ask, "head_object", self._named(key)))
        except ObjectNotFound:
            return False
        return True

    def presigned(self, key: str, seconds: float) -> str:
        """Return a URL, signed with this user's credentials, at which anyone can read an object for some time."""
        sign = partial(_sign, request=self._named(key), seconds=round(seconds))
        return self._retry(key, lambda: self._run(sign))

    def free_bytes(self) -> None:
        """Return None: the free space of a bucket is unknown."""

    def sweep(self) -> int:
        """Do nothing: objects are never half-written."""
        return 0

    def check(self, *, writable: bool) -> None:
        """Check that the bucket can be listed and, if asked, written; a probe object is deleted again."""
        quick = S3Location(self.url, self._policy.short())
        first = {"Bucket": self._bucket, "Prefix": self._prefix, "MaxKeys": 1}
        quick._retry("", partial(quick._ask, "list_objects_v2", first))
        if writable:
            probe = temporary_name()
            quick.put(probe, b"can this be written?")
            quick.delete(probe)

    def check_exclusive(self) -> None:
        """Check that the store honours conditional writes; a probe object is deleted again."""
        quick, probe = S3Location(self.url, self._policy.short()), temporary_name()
        try:
            is_exclusive = quick.create(probe, b"is there one?") and not quick.create(
                probe, b"is there another?"
            )
        except RequestUnsupported:
            is_exclusive = False
        finally:
            quick.delete(probe)
        if not is_exclusive:
            raise ExclusiveWritesMissing(
                f"{self.url}: this store has no conditional writes (If-None-Match), so two runs could not be kept"
                " apart; choose a workspace in a folder or on a store that has them: AWS S3, Ceph, MinIO, R2"
            )

    def _reference(self, entry: dict[str, Any], left_out: LeftOut, *, archives: bool) -> Iterator[ImageRef]:
        key, size = entry["Key"].removeprefix(self._prefix), entry["Size"]
        if size == 0 and (not key or key.endswith("/")):
            left_out.leave_object(FOLDER_MARKER)
        elif is_temporary(key):
            left_out.leave_object(HALF_WRITTEN)
        elif "ETag" not in entry:
            raise StorageError(
                f"{self.url}: the server lists objects without etags; list them with etags in a manifest"
            )
        else:
            yield ImageRef(key, entry["ETag"].strip('"'), size, archived=archives and is_archived(entry))

    def _put(self, key: str, data: bytes, **conditions: object) -> dict[str, Any]:
        digest = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        request = {**self._named(key), "Body": data, "ContentMD5": digest, **conditions}
        return self._ask("put_object", request)

    def _writer_of(self, key: str) -> str | None:
        try:
            found = self._ask("head_object", self._named(key))
        except ClientError as error:
            raise TransientError(
                f"an object existed, but can no longer be read: {one_line(error)}"
            ) from error
        return cast("str | None", found["Metadata"].get(WRITER))

    def _fetched(self, request: Mapping[str, object]) -> bytes:
        announced, data = self._run(partial(_read, request=request))
        if len(data) != announced:
            raise TransientError(f"{len(data)} of {announced} bytes arrived")
        return data

    def _named(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _ask(self, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
        return self._run(partial(_call, operation=operation, request=request))

    def _run(self, work: Callable[[S3FileSystem], Awaitable[T]]) -> T:
        filesystem = _filesystem()
        answer: T = sync(filesystem.loop, work, filesystem, timeout=self._policy.attempt_seconds)
        return answer

    def _retry(self, key: str, action: Callable[[], T]) -> T:
        url = printable(f"{self.url}/{key}" if key and not is_temporary(key) else self.url)

        def attempt() -> T:
            return translate_errors(action, url)

        used = _options(url)
        try:
            return retry(attempt, self._policy, url)
        except AccessDenied:
            renew()  # read environment and profile again: a token may have expired
            if _options(url) == used:
                raise
        return retry(attempt, self._policy, url)


def is_archived(entry: Mapping[str, Any]) -> bool:
    """Return whether the object of a listing entry must be restored before it can be read."""
    if entry.get("StorageClass") not in ARCHIVES:
        return False
    status = entry.get("RestoreStatus", {})
    return bool(status.get("IsRestoreInProgress")) or "RestoreExpiryDate" not in status


def _options(url: str) -> dict[str, Any]:
    try:
        return s3_options()
    except AccessDenied as error:
        raise CredentialsRefused(f"{url}: {error}") from None
    except UrlRefused as error:  # the endpoint
        raise StorageError(f"{url}: {error}") from None


def _filesystem() -> S3FileSystem:
    # s3fs keeps one instance per process and set of options, so this is cheap; a token that botocore has renewed
    # is another option and thus gives another instance.
    options = s3_options()
    options["config_kwargs"] |= CONFIG
    filesystem = S3FileSystem(**options, use_listings_cache=False)
    # A fork clears the cache of fsspec in the child. Without this reference, the sockets would be closed there,
    # which removes them from the epoll set shared with the parent: the parent would wait for ever.
    _kept.add(filesystem)
    return filesystem


async def _call(filesystem: S3FileSystem, operation: str, request: Mapping[str, object]) -> dict[str, Any]:
    client = await filesystem.set_session()
    answer: dict[str, Any] = await getattr(client, operation)(**request)
    return answer


async def _sign(filesystem: S3FileSystem, request: Mapping[str, object], seconds: int) -> str:
    client = await filesystem.set_session()
    answer: str = await client.generate_presigned_url("get_object", Params=request, ExpiresIn=seconds)
    return answer


async def _read(filesystem: S3FileSystem, request: Mapping[str, object]) -> tuple[int, bytes]:
    answer = await _call(filesystem, "get_object", request)
    async with answer["Body"] as body:
        return answer["ContentLength"], await body.read()

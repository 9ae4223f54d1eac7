"""A Zarr store on our own storage, which gives arrays the same retries, atomic writes and errors as photographs.

`open_array`, `create_array` and `read_rows` are the functions that others use.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr
from zarr.abc.store import ByteRequest, OffsetByteRequest, RangeByteRequest, Store
from zarr.codecs import ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype

from infra.errors import ObjectNotFound, StorageError, one_line
from infra.records import StoredObject
from infra.storage.location import Location, open_location

_DAMAGE = (ValueError, RuntimeError)
"""Exceptions of Zarr and its codecs for damaged bytes."""


class LocationStore(Store):
    """A Zarr store on one `Location`; objects are written whole.

    By default objects are also read whole, and the last one read is kept, because a shard is read in parts: first
    its index, then one chunk after another. With `in_parts`, only the requested ranges are fetched, which suits
    reading few chunks out of many, and a missing object of chunks is an error: a catalog names what it holds.
    `stored`, if given, gets an entry per written object.
    """

    def __init__(
        self,
        location: Location,
        *,
        read_only: bool = False,
        in_parts: bool = False,
        stored: dict[str, StoredObject] | None = None,
    ) -> None:
        super().__init__(read_only=read_only)
        self._location = location
        self._in_parts = in_parts
        self._last: tuple[str, bytes] | None = None
        self._stored = stored

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LocationStore) and other._location.url == self._location.url

    def with_read_only(self, read_only: bool = False) -> LocationStore:
        """Return the same store with another value of `read_only`."""
        return LocationStore(
            self._location, read_only=read_only, in_parts=self._in_parts, stored=self._stored
        )

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return an object or a range of it; None if it does not exist."""
        try:
            if byte_range is not None and self._in_parts:
                data = await asyncio.to_thread(self._location.fetch_part, key, *_bounds(byte_range))
                return prototype.buffer.from_bytes(data)
            data = await asyncio.to_thread(self._fetch, key, byte_range is not None)
        except ObjectNotFound as error:
            if self._in_parts and key.startswith("c/"):  # Zarr would take its rows for zeros
                raise StorageError(f"{error}; its rows are recorded: restore it from a backup") from error
            return None
        return prototype.buffer.from_bytes(_part(data, byte_range))

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return several ranges, one after another."""
        return [await self.get(key, prototype, byte_range) for key, byte_range in key_ranges]

    async def exists(self, key: str) -> bool:
        """Return whether an object exists."""
        return await asyncio.to_thread(self._location.exists, key)

    async def set(self, key: str, value: Buffer) -> None:
        """Write a whole object."""
        self._check_writable()
        self._last = None
        stored = await asyncio.to_thread(self._location.put, key, value.to_bytes())
        if self._stored is not None:
            self._stored[key] = stored

    async def delete(self, key: str) -> None:
        """Remove an object."""
        self._check_writable()
        self._last = None
        await asyncio.to_thread(self._location.delete, key)

    @property
    def supports_writes(self) -> bool:
        """True: objects can be written."""
        return True

    @property
    def supports_deletes(self) -> bool:
        """True: objects can be removed."""
        return True

    @property
    def supports_listing(self) -> bool:
        """True: keys can be listed."""
        return True

    async def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        for ref in await asyncio.to_thread(lambda: list(self._location.list())):
            yield ref.key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys below a prefix."""
        async for key in self.list():
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield the names directly below a prefix."""
        inside = f"{prefix.rstrip('/')}/" if prefix else ""
        seen: set[str] = set()
        async for key in self.list_prefix(inside):
            name = key.removeprefix(inside).split("/")[0]
            if name not in seen:
                seen.add(name)
                yield name

    def _fetch(self, key: str, is_part: bool) -> bytes:
        if self._last is not None and self._last[0] == key and is_part:
            return self._last[1]
        data = self._location.fetch(key)
        if is_part:
            self._last = (key, data)
        return data


def open_array(
    url: str,
    *,
    read_only: bool = True,
    in_parts: bool = False,
    stored: dict[str, StoredObject] | None = None,
) -> zarr.Array[Any]:
    """Open an array at a URL. All-zero chunks are written like any other, since a missing chunk means pending work.

    Parameters
    ----------
    url : str
        URL of the array.
    read_only : bool
        Whether writing is refused.
    in_parts : bool
        See `LocationStore`.
    stored : dict, optional
        Gets an entry, by key, for each object that is written through this array.
    """
    store = LocationStore(open_location(url), read_only=read_only, in_parts=in_parts, stored=stored)
    array = zarr.open_array(store, mode="r" if read_only else "r+")
    return array.with_config({"write_empty_chunks": True})  # zarr.open_array would ignore it


def read_rows(url: str, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Read rows of an array, given in ascending order, and fetch only their chunks.

    Raises
    ------
    StorageError
        If a chunk is damaged, or its object is missing.
    """
    array = open_array(url, in_parts=True)
    # Neighbouring rows are read in one slice: selecting single rows (`oindex`) takes Zarr a hundred times as long.
    runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
    try:
        return np.concatenate([np.asarray(array[run[0] : run[-1] + 1]) for run in runs])
    except _DAMAGE as error:
        raise StorageError(
            f"{url}: damaged in rows {rows[0]} to {rows[-1]} ({one_line(error)}); restore it from a backup"
        ) from error


def create_array(
    url: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None = None,
    dtype: str = "uint8",
) -> zarr.Array[Any]:
    """Create an array with compressed, checksummed chunks; with `shards`, each shard is one object."""
    return zarr.create_array(
        LocationStore(open_location(url)),
        shape=shape,
        chunks=chunks,
        shards=shards,
        dtype=dtype,
        compressors=ZstdCodec(level=1, checksum=True),
        config={"write_empty_chunks": True},
    )


def _bounds(byte_range: ByteRequest) -> tuple[int, int | None]:
    if isinstance(byte_range, RangeByteRequest):
        return byte_range.start, byte_range.end
    if isinstance(byte_range, OffsetByteRequest):
        return byte_range.offset, None
    return -byte_range.suffix, None


def _part(data: bytes, byte_range: ByteRequest | None) -> bytes:
    if byte_range is None:
        return data
    start, stop = _bounds(byte_range)
    return data[start if start >= 0 else max(len(data) + start, 0) : stop]

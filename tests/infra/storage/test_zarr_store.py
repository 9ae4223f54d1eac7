from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import ZstdCodec

from infra.errors import StorageError
from infra.records import ImageRef
from infra.storage.location import Location, open_location
from infra.storage.zarr_store import LocationStore, create_array, open_array, read_rows


class Counting:
    """A location that counts fetches, and fails on request."""

    def __init__(self, inner: Location) -> None:
        self.inner = inner
        self.url = inner.url
        self.fetched: list[str] = []
        self.fails: Exception | None = None

    def fetch(self, key: str, size_bytes: int | None = None) -> bytes:
        self.fetched.append(key)
        if self.fails is not None and key.startswith("c/"):
            raise self.fails
        return self.inner.fetch(key, size_bytes)

    def list(self) -> Iterator[ImageRef]:
        return self.inner.list()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def _pixels(frames: int = 6) -> np.ndarray:
    return np.random.default_rng(0).integers(1, 255, (frames, 8, 10, 3)).astype(np.uint8)


def test_written_arrays_are_read_by_us_and_by_zarr(tmp_path: Path) -> None:
    url, pixels = str(tmp_path / "a b%20c"), _pixels()
    create_array(url, pixels.shape, (1, 8, 10, 3))
    open_array(url, read_only=False)[:] = pixels
    np.testing.assert_array_equal(open_array(url)[:], pixels)
    np.testing.assert_array_equal(zarr.open_array(url, mode="r")[:], pixels)
    assert open_array(url)[4].tobytes() == pixels[4].tobytes()


@pytest.mark.parametrize("shards", [None, (4, 8, 10, 3)])
def test_arrays_of_others_are_read(tmp_path: Path, shards: tuple[int, ...] | None) -> None:
    pixels = _pixels()
    array = zarr.create_array(
        str(tmp_path / "theirs"), shape=pixels.shape, chunks=(2, 4, 10, 3), shards=shards, dtype="uint8"
    )
    array[:] = pixels
    ours = open_array(str(tmp_path / "theirs"))
    for number in (5, 0, 3):
        np.testing.assert_array_equal(ours[number], pixels[number])


@pytest.mark.parametrize("damaged", [slice(20, 60), slice(-20, None)], ids=["chunk", "index"])
def test_rows_of_a_damaged_shard_are_refused_by_name(tmp_path: Path, damaged: slice) -> None:
    url, pixels = str(tmp_path / "damaged"), _pixels()
    create_array(url, pixels.shape, (1, 8, 10, 3), (6, 8, 10, 3))[:] = pixels
    np.testing.assert_array_equal(read_rows(url, np.array([1, 4])), pixels[[1, 4]])
    shard = tmp_path / "damaged/c/0/0/0/0"
    data = bytearray(shard.read_bytes())
    data[damaged] = bytes(len(data[damaged]))
    shard.write_bytes(data)
    with pytest.raises(
        StorageError, match=rf"{url}: damaged in rows 0 to 2 \(.*\); restore it from a backup"
    ):
        read_rows(url, np.array([0, 2]))


def test_rows_of_a_missing_shard_are_not_zeros(tmp_path: Path) -> None:
    url, pixels = str(tmp_path / "a"), _pixels()
    create_array(url, pixels.shape, (1, 8, 10, 3), (2, 8, 10, 3))[:] = pixels
    (tmp_path / "a/c/1/0/0/0").unlink()
    np.testing.assert_array_equal(read_rows(url, np.array([1, 4])), pixels[[1, 4]])
    with pytest.raises(StorageError, match=rf"{url}/c/1/0/0/0: .*; its rows are recorded: restore it"):
        read_rows(url, np.array([1, 2, 4]))


def test_all_zero_chunks_are_written(tmp_path: Path) -> None:
    url = str(tmp_path / "zeros")
    create_array(url, (3, 8, 10, 3), (1, 8, 10, 3))[0] = np.zeros((8, 10, 3), np.uint8)
    open_array(url, read_only=False)[2] = np.zeros((8, 10, 3), np.uint8)
    keys = {ref.key for ref in open_location(url).list()}
    assert keys == {"zarr.json", "c/0/0/0/0", "c/2/0/0/0"}


def test_a_flipped_bit_is_noticed(tmp_path: Path) -> None:
    url = str(tmp_path / "checked")
    create_array(url, (1, 8, 10, 3), (1, 8, 10, 3))[:] = _pixels(1)
    chunk = tmp_path / "checked" / "c" / "0" / "0" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[len(data) // 2] ^= 1
    chunk.write_bytes(data)
    with pytest.raises(RuntimeError, match="checksum"):
        open_array(url)[0]


def test_a_shard_is_fetched_once_for_all_its_frames(tmp_path: Path) -> None:
    pixels = _pixels()
    theirs = {"chunks": (1, 8, 10, 3), "shards": (6, 8, 10, 3), "compressors": ZstdCodec()}
    zarr.create_array(str(tmp_path / "s"), shape=pixels.shape, dtype="uint8", **theirs)[:] = pixels
    location = Counting(open_location(str(tmp_path / "s")))
    array = zarr.open_array(LocationStore(location, read_only=True), mode="r")
    for number in range(6):
        np.testing.assert_array_equal(array[number], pixels[number])
    assert location.fetched.count("c/0/0/0/0") == 1


def test_an_object_read_in_parts_is_read_again_after_a_write(tmp_path: Path) -> None:
    url, pixels = str(tmp_path / "s"), _pixels()
    theirs = {"chunks": (1, 8, 10, 3), "shards": (6, 8, 10, 3)}
    zarr.create_array(url, shape=pixels.shape, dtype="uint8", **theirs)[:] = pixels
    array = open_array(url, read_only=False)
    assert array[3].tobytes() == pixels[3].tobytes()
    array[:] = pixels[::-1]
    assert array[3].tobytes() == pixels[2].tobytes()


def test_a_fault_of_storage_is_not_a_missing_chunk(tmp_path: Path) -> None:
    url = str(tmp_path / "f")
    create_array(url, (2, 8, 10, 3), (1, 8, 10, 3))[:] = _pixels(2)
    location = Counting(open_location(url))
    array = zarr.open_array(LocationStore(location, read_only=True), mode="r")
    location.fails = StorageError("time-out")
    with pytest.raises(StorageError, match="time-out"):
        array[1]


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    url = str(tmp_path / "r")
    create_array(url, (2, 8, 10, 3), (1, 8, 10, 3))
    with pytest.raises(ValueError, match="read-only"):
        open_array(url)[0] = _pixels(1)[0]


def test_an_array_is_not_made_over_another(tmp_path: Path) -> None:
    url = str(tmp_path / "twice")
    create_array(url, (2, 8, 10, 3), (1, 8, 10, 3))
    with pytest.raises(zarr.errors.ContainsArrayError):
        create_array(url, (3, 8, 10, 3), (1, 8, 10, 3))


def test_groups_can_be_walked(tmp_path: Path) -> None:
    store = LocationStore(open_location(str(tmp_path / "g")))
    group = zarr.create_group(store)
    group.create_array("day/one", shape=(2,), dtype="uint8")[:] = 1
    group.create_array("two", shape=(2,), dtype="uint8")
    assert sorted(name for name, _ in zarr.open_group(store).members()) == ["day", "two"]
    del group["day/one"]
    assert "one" not in zarr.open_group(store)["day"]

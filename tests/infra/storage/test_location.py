"""Behaviour that all locations share: a folder, simulated S3, and a real object gateway."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.errors import KeyRefused, ObjectNotFound, UrlRefused
from infra.storage.location import Location, existing, is_local, local_home, open_location

AWKWARD = [
    "plain.jpg",
    "a/b/c.jpg",
    "with space/and+plus.png",
    "per%20cent.png",
    "%2e%2e/dots.png",
    "é/日本語.jpg",
    "query?versionId=3#fragment.jpg",
    "ampersand&<angle>'\".jpg",
    "back\\slash.jpg",
    "Case.jpg",
    "case.jpg",
    ".hidden",
    "trailing ",
]
ONLY_S3 = [
    "/leading.jpg",
    "double//slash.jpg",
    "up/../down.jpg",
    "../outside.jpg",
    "./here.jpg",
    "last/",
    "x//",
]


REAL = pytest.param(
    "ceph", marks=[pytest.mark.ceph, pytest.mark.slow]
)  # requested at run time, so marked here


@pytest.fixture(params=["folder", "moto", REAL])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "folder":
        return open_location(str(tmp_path / "folder"))
    url = request.getfixturevalue("moto" if request.param == "moto" else "bucket")
    return open_location(f"{url}/some/prefix")


def test_awkward_keys_come_back_unchanged(location: Location) -> None:
    for key in AWKWARD:
        location.put(key, key.encode())
    listed = [ref.key for ref in location.list()]
    assert listed == sorted(AWKWARD)
    assert [location.fetch(key) for key in AWKWARD] == [key.encode() for key in AWKWARD]


def test_put_replaces_and_delete_forgives(location: Location) -> None:
    location.put("a/x", b"old")
    location.put("a/x", b"new")
    assert location.fetch("a/x") == b"new"
    location.delete("a/x")
    location.delete("a/x")
    assert not location.exists("a/x")
    assert list(location.list()) == []


def test_an_empty_object_is_an_object(location: Location) -> None:
    location.put("empty.jpg", b"")
    assert location.fetch("empty.jpg", 0) == b""
    assert [(ref.key, ref.size_bytes) for ref in location.list()] == [("empty.jpg", 0)]


def test_etag_changes_with_the_bytes(location: Location) -> None:
    location.put("x", b"one")
    (before,) = location.list()
    location.put("x", b"two")
    (after,) = location.list()
    assert before.etag != after.etag
    assert '"' not in before.etag


def test_create_is_exclusive(location: Location) -> None:
    assert location.create("leases/x", b"first")
    assert not location.create("leases/x", b"second")
    assert location.fetch("leases/x") == b"first"


def test_one_of_many_creators_wins(location: Location) -> None:
    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(lambda number: location.create("x", b"%d" % number), range(8)))
    assert won.count(True) == 1
    assert location.fetch("x") == b"%d" % won.index(True)


def test_threads_share_a_location(location: Location) -> None:
    def work(number: int) -> bool:
        location.put(f"{number % 4}/{number}", b"x" * number)
        return location.fetch(f"{number % 4}/{number}", number) == b"x" * number

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(60)))


def test_a_pickled_location_is_the_same_place(location: Location) -> None:
    location.put("x", b"1")
    assert pickle.loads(pickle.dumps(location)).fetch("x") == b"1"


def test_missing_objects_are_missing(location: Location) -> None:
    location.put("there", b"")
    assert not location.exists("not/there")
    with pytest.raises(ObjectNotFound, match="not/there"):
        location.fetch("not/there")


def test_a_missing_folder_holds_nothing(location: Location) -> None:
    assert list(existing(location)) == []
    location.put("x", b"")
    assert [ref.key for ref in existing(location)] == ["x"]


def test_a_check_leaves_nothing_behind(location: Location) -> None:
    location.check(writable=True)
    location.put("x", b"")
    location.check(writable=False)
    location.check(writable=True)
    assert [ref.key for ref in location.list()] == ["x"]


def test_temporary_files_are_not_listed(location: Location) -> None:
    location.put("a/.derain-0123.tmp", b"torn")
    location.put("a/derain.tmp", b"a photograph, as far as we know")
    assert [ref.key for ref in location.list()] == ["a/derain.tmp"]


def test_s3_keys_are_literal(bucket: str) -> None:
    location = open_location(bucket)
    for key in ONLY_S3:
        location.put(key, key.encode())
    assert [ref.key for ref in location.list()] == sorted(ONLY_S3)
    assert [location.fetch(key) for key in ONLY_S3] == [key.encode() for key in ONLY_S3]


@pytest.mark.parametrize(
    "key", ["/leading", "a//b", "../outside", "a/../b", "./here", "folder/", "", "nul\0"]
)
def test_a_folder_takes_no_key_that_leaves_it(tmp_path: Path, key: str) -> None:
    location = open_location(str(tmp_path / "inside"))
    for action in (
        lambda: location.put(key, b"x"),
        lambda: location.create(key, b"x"),
        lambda: location.fetch(key),
    ):
        with pytest.raises(KeyRefused, match="inside"):
            action()
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("url", ["gs://bucket/x", "https://example.org/x"])
def test_other_schemes_are_named(url: str) -> None:
    with pytest.raises(UrlRefused, match=url.partition(":")[0] + "://"):
        open_location(url)


@pytest.mark.parametrize("url", ["s3:///x", "s3://"])
def test_a_bucket_must_be_named(url: str) -> None:
    with pytest.raises(UrlRefused, match="no bucket"):
        open_location(url)


def test_is_local() -> None:
    assert [is_local(url) for url in ("photos", "/a b", "file:///x", "s3://b", "gs://b")] == [True] * 3 + [
        False
    ] * 2


def test_a_remote_workspace_has_a_home_in_the_current_folder(tmp_path: Path) -> None:
    assert local_home(str(tmp_path)) == tmp_path
    assert local_home("s3://b/w") == Path.cwd() / "var"


def test_a_part_is_what_a_slice_of_the_whole_is(location: Location) -> None:
    location.put("a/b.bin", bytes(range(100)))
    assert location.fetch_part("a/b.bin", 10, 20) == bytes(range(10, 20))
    assert location.fetch_part("a/b.bin", 90) == location.fetch_part("a/b.bin", -10) == bytes(range(90, 100))
    assert location.fetch_part("a/b.bin", 95, 200) == bytes(range(95, 100))
    with pytest.raises(ObjectNotFound, match=r"b\.gone"):
        location.fetch_part("a/b.gone", 0, 1)

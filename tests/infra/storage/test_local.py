"""A folder as a location: order, links, unusual names, atomicity, full disks."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NoReturn

import pytest

from infra.errors import AccessDenied, KeyRefused, ObjectNotFound, RetryPolicy, StorageError
from infra.storage.listing import LeftOut, ListingRules
from infra.storage.local import LocalLocation
from infra.storage.location import open_location

QUICK = RetryPolicy(budget_seconds=0.3, first_wait=0.001, longest_wait=0.01)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def opened(folder: Path) -> LocalLocation:
    return LocalLocation(str(folder), QUICK)


def keys(folder: Path) -> list[str]:
    return [ref.key for ref in opened(folder).list()]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def failing(code: int, times: int, real: Callable[..., object]) -> Callable[..., object]:
    left = iter(range(times))

    def action(*arguments: object, **named: object) -> object:
        if next(left, None) is not None:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **named)

    return action


def test_a_listing_is_sorted_by_whole_keys(folder: Path) -> None:
    names = ["a/z", "a.jpg", "a-b/x", "a/b/c", "Z", "é", "b"]
    for name in names:
        opened(folder).put(name, b"")
    assert keys(folder) == sorted(names)


def test_a_listing_has_size_and_time(folder: Path) -> None:
    (folder / "x").write_bytes(b"four")
    os.utime(folder / "x", ns=(1, 1_234_567_890))
    (ref,) = opened(folder).list()
    assert (ref.key, ref.etag, ref.size_bytes) == ("x", "4-1234567890", 4)


def test_a_listing_is_a_stream(folder: Path) -> None:
    for name in ("a/1", "b/2", "c/3"):
        opened(folder).put(name, b"")
    refs = opened(folder).list()
    assert [ref.key for ref in islice(refs, 1)] == ["a/1"]
    (folder / "b" / "2").unlink()  # files and folders that vanish during the listing are skipped
    (folder / "c" / "3").unlink()
    (folder / "c").rmdir()
    assert [ref.key for ref in refs] == []


def test_files_that_vanish_within_a_folder_are_skipped(folder: Path) -> None:
    for name in "abc":
        (folder / name).touch()
    refs = opened(folder).list()
    next(refs)
    (folder / "b").unlink()
    assert [ref.key for ref in refs] == ["c"]


def test_links_are_followed_but_not_in_a_circle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x").touch()
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "circle").symlink_to(folder)
    (folder / "itself").symlink_to(folder / "itself")
    (folder / "broken").symlink_to(folder / "nothing")
    (folder / "file").symlink_to(tmp_path / "elsewhere" / "x")
    assert keys(folder) == ["file", "linked/x"]


def test_pipes_are_not_images(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert keys(folder) == []
    assert not opened(folder).exists("pipe.jpg")


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (os.mkdir, "a folder"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (_make_socket, "a socket"),
    ],
    ids=["pipe", "folder", "device", "socket"],
)
def test_a_path_that_is_not_a_file_is_refused_at_once(
    folder: Path, make: Callable[[Path], object], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # the path of a socket must be short
    make(Path("a.jpg"))
    for read in (lambda: opened(folder).fetch("a.jpg", 10), lambda: opened(folder).fetch_part("a.jpg", 0, 8)):
        with pytest.raises(KeyRefused, match=f"a.jpg is {kind}, not a file"):
            read()


def test_names_that_are_not_utf8_can_be_listed_and_fetched(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9")).mkdir()
    Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9/\xff.jpg")).write_bytes(b"raw")
    (folder / "\\xff.jpg").write_bytes(b"literal")
    assert keys(folder) == ["\\xff.jpg", "caf\\xe9/\\xff.jpg"]
    assert [opened(folder).fetch(key) for key in keys(folder)] == [b"literal", b"raw"]


@pytest.mark.parametrize(
    ("stray", "literal"),
    [
        (b"p\xff.jpg", "p\\xff.jpg"),
        (b"day\xff/p.jpg", "day\\xff/p.jpg"),
        (b"p\\xe9\xff.jpg", "q.jpg"),
        (b"day\\xe9/\xff.jpg", "q.jpg"),
    ],
)
def test_a_name_that_does_not_lead_back_to_its_file_is_left_out(
    folder: Path, stray: bytes, literal: str
) -> None:
    for path in (Path(os.fsdecode(os.fsencode(folder) + b"/" + stray)), folder / literal):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(os.fsencode(path))
    left_out = LeftOut()
    assert [ref.key for ref in opened(folder).list(ListingRules(left_out))] == [literal]
    assert left_out.objects == {"name that is not text": 1}
    assert opened(folder).fetch(literal) == os.fsencode(folder / literal)


def test_names_in_a_folder_whose_own_name_looks_like_bytes_are_found(folder: Path) -> None:
    inner = folder / "a\\xe9"
    inner.mkdir()
    Path(os.fsdecode(os.fsencode(inner) + b"/\xff.jpg")).write_bytes(b"raw")
    assert keys(inner) == ["\\xff.jpg"]
    assert opened(inner).fetch("\\xff.jpg") == b"raw"


def test_a_missing_folder_is_missing(folder: Path) -> None:
    gone = opened(folder / "gone")
    for action in (lambda: list(gone.list()), lambda: gone.check(writable=False), lambda: gone.fetch("x")):
        with pytest.raises(ObjectNotFound, match="gone"):
            action()
    assert not gone.exists("x")
    gone.delete("x")


def test_a_file_is_refused_as_a_folder(folder: Path) -> None:
    (folder / "file").touch()
    for writable in (False, True):
        with pytest.raises(ObjectNotFound, match="file"):
            opened(folder / "file").check(writable=writable)
    with pytest.raises(ObjectNotFound, match="is not a folder"):
        opened(folder / "file" / "below").check(writable=True)


def test_a_destination_need_not_exist_and_is_not_made(folder: Path) -> None:
    opened(folder / "not" / "yet").check(writable=True)
    assert list(folder.iterdir()) == []
    assert opened(folder / "not" / "yet").free_bytes() > 0
    opened(folder / "not" / "yet").put("x", b"1")
    assert (folder / "not" / "yet" / "x").read_bytes() == b"1"


def test_new_files_have_the_users_mode(folder: Path) -> None:
    before = os.umask(0o027)
    try:
        opened(folder).put("put", b"")
        opened(folder).create("created", b"")
    finally:
        os.umask(before)
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in ("put", "created")} == {0o640}


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failed_put_leaves_the_old_file_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, step: str, code: int
) -> None:
    opened(folder).put("x", b"old")
    monkeypatch.setattr(os, step, failing(code, 10**9, getattr(os, step)))
    with pytest.raises(StorageError, match=f"folder/x: .*{os.strerror(code)}.*gave up"):
        opened(folder).put("x", b"new")
    assert files_below(folder) == [folder / "x"]
    assert (folder / "x").read_bytes() == b"old"


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_disk_that_heals_is_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    monkeypatch.setattr(os, "fsync", failing(errno.EIO, times, os.fsync))
    LocalLocation(str(folder), RetryPolicy(30.0, None, 0.001, 0.01)).put("x", b"new")
    assert (folder / "x").read_bytes() == b"new"


def test_a_put_shows_nothing_before_it_is_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (seen.append(keys(folder)), sync(file)))
    opened(folder).put("a/x", b"1")
    opened(folder).create("a/y", b"1")
    assert seen == [[], ["a/x"]]
    assert keys(folder) == ["a/x", "a/y"]


def test_an_interrupt_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        opened(folder).put("x", b"1")
    assert files_below(folder) == []


def test_create_without_links(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EPERM, 10**9, os.link))
    assert opened(folder).create("x", b"first")
    assert not opened(folder).create("x", b"second")
    assert [path.name for path in files_below(folder)] == ["x"]
    assert (folder / "x").read_bytes() == b"first"


@pytest.mark.parametrize("key", ["x" * 300, "file/below", "taken"])
def test_keys_that_cannot_be_files_are_refused(folder: Path, key: str) -> None:
    (folder / "file").touch()
    (folder / "taken").mkdir()
    with pytest.raises(KeyRefused, match="cannot be a file"):
        opened(folder).put(key, b"1")
    assert files_below(folder) == [folder / "file"]


def test_a_forbidden_folder_is_denied(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "open", failing(errno.EACCES, 10**9, os.open))
    with pytest.raises(AccessDenied, match="folder"):
        opened(folder).check(writable=True)


def test_a_short_read_is_never_returned(folder: Path) -> None:
    opened(folder).put("x", b"1234")
    with pytest.raises(StorageError, match="4 bytes instead of 5"):
        opened(folder).fetch("x", 5)
    assert opened(folder).fetch("x", 4) == b"1234"


def test_a_file_urls_path_is_taken_literally(tmp_path: Path) -> None:
    odd = tmp_path / "a%20b c#d"
    open_location(f"file://{odd}").put("x", b"1")
    assert (odd / "x").read_bytes() == b"1"

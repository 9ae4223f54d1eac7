"""Listing of an irregular folder: entries that cannot be read are counted, and the rest is still listed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.errors import AccessDenied, RetryPolicy, StorageError
from infra.storage.folder_walk import FolderWalk, LinkIntoDestination
from infra.storage.listing import LeftOut, ListingRules
from infra.storage.temporary_files import temporary_name
from tests.support.failing_calls import failing_at

QUICK = RetryPolicy(budget_seconds=0.1, first_wait=0.001, longest_wait=0.01)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    for name in ("a/1", "bad/2", "c/3"):
        path = tmp_path / "source" / name
        path.parent.mkdir(parents=True)
        path.touch()
    return tmp_path / "source"


def keys(source: Path, rules: ListingRules) -> list[str]:
    return [ref.key for ref in FolderWalk(str(source), rules, QUICK).refs()]


FAULTS = [
    (errno.EACCES, "unreadable"),
    (errno.EPERM, "unreadable"),
    (errno.EIO, "unreadable"),
    (errno.ESTALE, "unreadable"),
    (errno.ENAMETOOLONG, "unreadable"),
    (errno.ENOENT, "vanished"),
]


@pytest.mark.parametrize("call", ["scandir", "stat"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_sub_folder_that_cannot_be_read_is_a_warning_and_a_count(
    source: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    call: str,
    fault: tuple[int, str],
) -> None:
    code, reason = fault
    monkeypatch.setattr(os, call, failing_at("bad", code, getattr(os, call)))
    left_out = LeftOut()
    assert keys(source, ListingRules(left_out)) == ["a/1", "c/3"]
    assert left_out.folders == {reason: 1}
    assert f"{source / 'bad'}" in caplog.text


@pytest.mark.parametrize(("code", "kind"), [(errno.EACCES, AccessDenied), (errno.EIO, StorageError)])
@pytest.mark.parametrize("call", ["scandir", "stat"])
def test_a_sub_folder_that_is_needed_and_cannot_be_read_is_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[Exception]
) -> None:
    monkeypatch.setattr(os, call, failing_at("bad", code, getattr(os, call)))
    with pytest.raises(kind, match=f"^{source / 'bad'}: "):
        keys(source, ListingRules(needed=lambda key: key == "bad/"))
    assert keys(source, ListingRules(needed=lambda key: key != "bad/")) == ["a/1", "c/3"]


def test_a_needed_folder_whose_files_cannot_be_looked_at_is_an_error(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "stat", failing_at("2", errno.EACCES, os.stat))
    with pytest.raises(AccessDenied, match=f"^{source / 'bad'}: .*check the owner and the mode"):
        keys(source, ListingRules(needed=lambda key: key == "bad/"))


def test_a_root_that_cannot_be_read_is_an_error(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing_at("source", errno.EACCES, os.scandir))
    with pytest.raises(AccessDenied, match="source"):
        keys(source, ListingRules())


def test_a_file_that_cannot_be_looked_at_is_counted(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "stat", failing_at("2", errno.EACCES, os.stat))
    left_out = LeftOut()
    assert keys(source, ListingRules(left_out)) == ["a/1", "c/3"]
    assert left_out.objects == {"unreadable": 1}


def test_entries_that_are_not_files_are_counted(source: Path) -> None:
    os.mkfifo(source / "pipe.jpg")
    (source / "broken.jpg").symlink_to(source / "nothing")
    (source / "itself").symlink_to(source / "itself")
    (source / temporary_name()).touch()
    left_out = LeftOut()
    assert keys(source, ListingRules(left_out)) == ["a/1", "bad/2", "c/3"]
    assert left_out.objects == {"not a regular file": 1, "broken link": 2, "half-written by a killed run": 1}


def test_loops_end_and_are_counted(source: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "back").symlink_to(source)
    (source / "out").symlink_to(tmp_path / "outside")
    (source / "a" / "up").symlink_to(source)
    (source / "a" / "to_c").symlink_to(source / "c")
    (source / "c" / "to_a").symlink_to(source / "a")
    left_out = LeftOut()
    listed = keys(source, ListingRules(left_out))
    assert listed == ["a/1", "a/to_c/3", "bad/2", "c/3", "c/to_a/1"]
    assert left_out.folders == {"link to a folder above": 5}


DEPTH = 1200


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Yield a file nested deeper than Python's stack allows; remove it afterwards, because pytest cannot."""
    here, folder = os.getcwd(), tmp_path / "deep"
    folder.mkdir()
    os.chdir(folder)
    for _ in range(DEPTH):
        os.mkdir("d")
        os.chdir("d")
    Path("x").touch()
    yield folder
    Path("x").unlink()
    for _ in range(DEPTH):
        os.chdir("..")
        os.rmdir("d")
    os.chdir(here)


def test_a_tree_deeper_than_the_stack_is_listed(deep: Path) -> None:
    assert keys(deep, ListingRules()) == ["d/" * DEPTH + "x"]


@pytest.mark.parametrize("target", ["derained", "derained/day", "derained/day/x.jpg"])
@pytest.mark.parametrize("through", [False, True])
def test_a_link_into_the_destination_is_refused(
    source: Path, tmp_path: Path, target: str, through: bool
) -> None:
    (tmp_path / "derained" / "day").mkdir(parents=True)
    (tmp_path / "derained" / "day" / "x.jpg").touch()
    (tmp_path / "hop").symlink_to(tmp_path / target)
    (source / "c" / "link").symlink_to(tmp_path / ("hop" if through else target))
    rules = ListingRules(barred=str(tmp_path / "derained"))
    with pytest.raises(LinkIntoDestination, match=r"c/link leads into the destination .*/derained"):
        keys(source, rules)
    excluded = ListingRules(closed=lambda key: "excluded" if key == "c/" else None, barred=rules.barred)
    assert keys(source, excluded) == ["a/1", "bad/2"]


def test_a_link_to_a_folder_that_holds_the_destination_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "above" / "derained").mkdir(parents=True)
    (source / "link").symlink_to(tmp_path / "above")
    with pytest.raises(LinkIntoDestination, match="link/derained leads into the destination"):
        keys(source, ListingRules(barred=str(tmp_path / "above" / "derained")))

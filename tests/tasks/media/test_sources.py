"""Selection of the objects of a source, and the forms of manifests."""

from __future__ import annotations

import os
from collections import Counter
from glob import escape
from pathlib import Path

import pytest

from infra.records import ImageRef
from infra.storage.listing import LeftOut
from tasks.media import leftovers
from tasks.media.sources import Selection, open_source

GLOBS = [
    ("*.jpg", "a/b/c.jpg", True),
    ("*.jpg", "a/b/c.JPG", False),
    ("**/*.jpg", "c.jpg", True),
    ("**/*.jpg", "a/b/c.jpg", True),
    ("cam1/**", "cam1/x/y.jpg", True),
    ("cam1/**", "cam10/y.jpg", False),
    ("cam1/", "cam1/x/y.jpg", True),
    ("cam1/", "cam1", False),
    ("cam1", "cam1/y.jpg", False),
    ("a/**/b.jpg", "a/b.jpg", True),
    ("a/**/b.jpg", "a/x/y/b.jpg", True),
    ("a/**/b.jpg", "a/xb.jpg", False),
    ("a**/b.jpg", "ax/y/b.jpg", True),
    ("**/2025/**/f-?[0-4].jpg", "s/2025/f-a3.jpg", True),
    ("**/2025/**/f-?[0-4].jpg", "s/12025/f-a3.jpg", False),
    ("f[!a].jpg", "fa.jpg", False),
    ("a+b (1).jpg", "a+b (1).jpg", True),
    ("a.jpg", "a.jpg\n", False),
    ("*", "line\nbreak", True),
]


@pytest.mark.parametrize(("glob", "key", "matches"), GLOBS)
def test_globs(glob, key, matches):
    assert Selection(include=(glob,)).predicate()(key) is matches
    assert Selection(include=("*",), exclude=(glob,)).predicate()(key) is not matches


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg",
        "a/b.JPEG",
        "a.b.png",
        "x.webp",
        "x.tif",
        "x.TIFF",
        "x.bmp",
        "x.gif",
        ".jpg",
        "x.JFIF",
        "x.jpe",
        "x.mpo",
        "x.avif",
        "x.jp2",
    ],
)
def test_images_are_taken_by_suffix(key):
    assert Selection().predicate()(key)


@pytest.mark.parametrize(
    "key",
    [
        "Thumbs.db",
        "a/.DS_Store",
        "a/desktop.ini",
        "readme.md",
        "jpg",
        "a.jpg.txt",
        "a.jpg/notes",
        "a/._b.jpg",
    ],
)
def test_other_files_are_not(key):
    assert not Selection().predicate()(key)


@pytest.mark.parametrize("key", ["Thumbs.db", "a/.DS_Store", "a/._b.jpg"])
def test_junk_is_never_taken(key):
    assert not Selection(include=("*",)).predicate()(key)


def test_several_globs():
    is_selected = Selection(include=("*.jpg", "*.dat"), exclude=("tmp/**", "*-old.*")).predicate()
    keys = ["a.jpg", "b.dat", "c.png", "tmp/d.jpg", "e-old.jpg"]
    assert [key for key in keys if is_selected(key)] == ["a.jpg", "b.dat"]


def test_objects_left_out_are_counted_by_reason_up_to_the_limit():
    left_out = LeftOut()
    listing = [ImageRef(key, "1", 2) for key in ("a.txt", "a", "b.jpg", "c.jpg", "d.txt", "e.jpg")]
    assert [ref.key for ref in Selection(limit=2).select(listing, left_out)] == ["b.jpg", "c.jpg"]
    assert left_out == LeftOut(Counter({".txt": 1, "no suffix": 1}), stopped_at=2)


def test_every_reason_is_counted_separately():
    left_out = LeftOut()
    keys = ["a.HEIC", "b.heic", "c.jpg~", "sub/no", ".hidden", "@eaDir/d.jpg", "x/e.jpg", "f.jpg"]
    taken = Selection(exclude=("x/",)).select([ImageRef(key, "1", 2) for key in keys], left_out)
    assert [ref.key for ref in taken] == ["f.jpg"]
    assert left_out.objects == {
        ".heic": 2, "other suffixes": 1, "no suffix": 2, "NAS or desktop leftover": 1, "excluded": 1,
    }  # fmt: skip
    assert Selection(include=("*.png",)).reasons()("a.jpg") == "not included"


def test_no_number_of_suffixes_fills_the_memory():
    left_out = LeftOut()
    for number in range(5000):
        left_out.leave_object(f".{number}")
    assert len(left_out.objects) < 300
    assert left_out.total == 5000


def test_a_file_without_a_suffix_is_taken_if_it_is_an_image(tmp_path: Path):
    for name, data in (("photo", b"\xff\xd8\xff\xe0"), ("Makefile", b"all:"), ("empty", b"")):
        (tmp_path / name).write_bytes(data)
    left_out = LeftOut()
    source = open_source(str(tmp_path))
    taken = Selection().select(source.refs(), left_out, source.base)
    assert [ref.key for ref in taken] == ["photo"]
    assert left_out.objects == {"no suffix": 2}


LEFTOVERS = [
    "@eaDir/IMG_1.jpg/SYNOPHOTO_THUMB_XL.jpg",
    "cam/@EADIR/a.jpg",
    "#recycle/a.jpg",
    "$RECYCLE.BIN/S-1-5/a.jpg",
    "x/.Trash-1000/files/a.jpg",
    ".@__thumb/default100a.jpg",
    "lost+found/#123/a.jpg",
    ".stversions/a~20240101.jpg",
    "x/.AppleDouble/a.jpg",
    "__MACOSX/x/._a.jpg",
    "System Volume Information/a.jpg",
    "x/._a.jpg",
    ".trashed-1700000000-a.jpg",
]


@pytest.mark.parametrize("key", LEFTOVERS)
def test_leftovers_are_left_out_by_default_and_named(key):
    assert Selection().reasons()(key) == "NAS or desktop leftover"
    assert Selection(include=("*.jpg",)).reasons()(key) == "NAS or desktop leftover"


@pytest.mark.parametrize(
    "key", ["eaDir/a.jpg", "recycle/a.jpg", "a.Trash/b.jpg", "a._b.jpg", "versions/a.jpg"]
)
def test_files_that_only_resemble_leftovers_are_taken(key):
    assert Selection().predicate()(key)


def test_an_include_glob_that_names_a_leftover_takes_it():
    is_selected = Selection(include=("#recycle/*.jpg",)).predicate()
    assert is_selected("#recycle/a.jpg")
    assert not is_selected("#recycle/@eaDir/a.jpg")


def test_a_leftover_that_is_named_by_an_escaped_glob_is_taken():
    key = "~$a[1].jpg"
    assert Selection(include=(escape(key),)).predicate()(key)


@pytest.mark.parametrize("name", ["var", "a[b]*", "deep/var"])
@pytest.mark.parametrize("base", ["/photos", "s3://photos"])
def test_a_workspace_below_the_source_is_left_out(name: str, base: str):
    chosen = Selection(exclude=("x/*",)).apart_from(f"{base}/{name}", base)
    closed, takes = chosen.rules(LeftOut()).closed, chosen.predicate()
    assert closed(f"{name}/") == "excluded"
    assert not takes(f"{name}/samples/rainy/a.png")
    assert not takes("x/a.png")
    assert takes(f"{name}-2/a.png")
    assert closed("variety/") is None


@pytest.mark.parametrize("workspace", ["/photos", "/elsewhere/var", "/photos-2/var", "s3://photos/var", "/"])
def test_a_workspace_elsewhere_changes_nothing(workspace: str):
    assert Selection().apart_from(workspace, "/photos") == Selection()


def test_the_documents_name_every_kind_of_leftover():
    page = (Path(__file__).parents[3] / "docs/how-to/derain-a-bucket.md").read_text()
    for name in (*(name for names in leftovers.FOLDERS.values() for name in names), *leftovers.FILES):
        assert f"`{name}`".replace("\r", "") in page


@pytest.mark.parametrize(
    ("globs", "entered"),
    [
        ((), ["a/", "a/b/", "c/"]),
        (("a/",), ["c/"]),
        (("a/*",), ["c/"]),
        (("**/b/",), ["a/", "c/"]),
        (("*b*",), ["a/", "c/"]),
        (("a/*.jpg",), ["a/", "a/b/", "c/"]),
        (("c",), ["a/", "a/b/", "c/"]),
        (("*",), []),
    ],
)
def test_excluded_folders_are_not_walked(tmp_path: Path, monkeypatch, globs, entered):
    for folder in ("a/b", "c", "@eaDir"):
        (tmp_path / folder).mkdir(parents=True)
    scanned = []
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: scanned.append(str(path)) or scan(path))
    selection, left_out = Selection(exclude=globs), LeftOut()
    assert list(open_source(str(tmp_path)).refs(selection.rules(left_out))) == []
    assert [f"{path}/".removeprefix(f"{tmp_path}/") for path in scanned[1:]] == entered
    assert left_out.folders["NAS or desktop leftover"] == 1
    assert all(not selection.predicate()(f"{folder}x.jpg") for folder in {"a/", "a/b/", "c/"} - {*entered})


def test_a_name_that_is_not_text_is_skipped_and_reported(caplog):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert not Selection().predicate()(name)
    assert "not text" in caplog.text


def test_a_folder_is_listed_whole(tmp_path: Path):
    for name in ("b.jpg", "a/c d%20.png", "Thumbs.db"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    source = open_source(str(tmp_path / "photos"))
    assert source.base == str(tmp_path / "photos")
    assert sorted((ref.key, ref.size_bytes) for ref in source.refs()) == [
        ("Thumbs.db", 5),
        ("a/c d%20.png", 5),
        ("b.jpg", 5),
    ]

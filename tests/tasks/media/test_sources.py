"""Which objects of a source are taken, and what a manifest may look like."""

from __future__ import annotations

import csv
import errno
import os
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from infra.records import ImageRef
from infra.storage.listing import LeftOut
from infra.storage.location import ObjectNotFound
from tasks.media import leftovers, manifests
from tasks.media.manifests import ManifestInvalid
from tasks.media.sources import Selection, open_source, readable_source

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


def test_what_is_not_taken_is_counted_by_reason_up_to_the_limit():
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
def test_what_only_resembles_a_leftover_is_taken(key):
    assert Selection().predicate()(key)


def test_an_include_glob_that_names_a_leftover_takes_it():
    is_selected = Selection(include=("#recycle/*.jpg",)).predicate()
    assert is_selected("#recycle/a.jpg")
    assert not is_selected("#recycle/@eaDir/a.jpg")


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


def test_a_name_that_is_no_text_is_skipped_and_reported(caplog):
    name = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    assert not Selection().predicate()(name)
    assert "no text" in caplog.text


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


ROWS = [("a b/ü,1.jpg", "0a1b", 10), ('"q".jpg', "0a1c", 0), ("%20\nx.jpg", "9-123", 2**40)]
REFS = [ImageRef(*row) for row in ROWS]


def write_csv(path: Path, rows: list, header: tuple = ("key", "etag", "size")) -> str:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return str(path)


def test_a_csv_manifest(tmp_path):
    manifest = write_csv(tmp_path / "m.csv", ROWS)
    assert list(open_source(manifest).refs()) == REFS
    assert open_source(manifest).base == str(tmp_path)


def test_columns_may_come_in_any_order_with_others_between(tmp_path):
    rows = [(size, "x" * (number == 2), etag, key) for number, (key, etag, size) in enumerate(ROWS)]
    manifest = write_csv(tmp_path / "m.CSV", rows, ("size", "note", "etag", "key"))
    assert list(open_source(manifest).refs()) == REFS


def test_a_byte_order_mark_and_quoted_etags_do_no_harm(tmp_path):
    (tmp_path / "m.csv").write_text('\ufeffkey,etag,size\na.jpg,"""0a1b""",10\n', encoding="utf-8")
    assert list(open_source(str(tmp_path / "m.csv")).refs()) == [ImageRef("a.jpg", "0a1b", 10)]


@pytest.mark.parametrize("text", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_parquet_manifest(tmp_path, text):
    keys, etags, sizes = zip(*ROWS, strict=True)
    columns = {
        "size": pa.array(sizes),
        "key": pa.array(keys).cast(text),
        "etag": pa.array(etags),
        "n": [1, 2, 3],
    }
    pyarrow.parquet.write_table(pa.table(columns), tmp_path / "m.parquet")
    assert list(open_source(str(tmp_path / "m.parquet")).refs()) == REFS


def test_keys_are_relative_to_the_base_column(tmp_path):
    rows = [("a.jpg", "e", 1, "s3://bucket/photos/"), ("b.jpg", "e", 1, "s3://bucket/photos/")]
    manifest = write_csv(tmp_path / "m.csv", rows, ("key", "etag", "size", "base"))
    assert open_source(manifest).base == "s3://bucket/photos"
    assert [ref.key for ref in open_source(manifest).refs()] == ["a.jpg", "b.jpg"]


def test_a_manifest_in_a_bucket_is_fetched(tmp_path, monkeypatch):
    manifest = write_csv(tmp_path / "m.csv", ROWS)
    monkeypatch.setattr(manifests, "is_local", lambda url: False)
    assert list(open_source(manifest).refs()) == REFS
    assert open_source(manifest).base == str(tmp_path)


def test_an_empty_manifest_lists_nothing(tmp_path):
    manifest = write_csv(tmp_path / "m.csv", [])
    assert open_source(manifest).base == str(tmp_path)
    assert list(open_source(manifest).refs()) == []


BAD = [
    ([("a", 1)], ("key", "size"), "no column etag"),
    ([("a", "e", "1")], ("Key", "ETag", "Size"), "no column key, etag, size"),
    ([("a", "e", 1), ("b", "", 1)], None, "row 2 has no etag"),
    ([("a", "e", 1), ("b", '""', 1)], None, "row 2 has no etag"),
    ([("a", "e", 1), ("", "e", 1)], None, "row 2 has no key"),
    ([("a", "e", 1), ("b", "e", "big")], None, "row 2 has no size"),
    ([("a", "e", 1), ("b", "e", "")], None, "row 2 has no size"),
    ([("a", "e", -1)], None, "row 1 has no size"),
    ([("a", "e", 1), ("b", "e", 1), ("a", "f", 1)], None, "key 'a' is listed more than once"),
    ([("a", "e", 1), ("b", "e", 1, 7)], None, "cannot be read as a manifest.*got 4: b,e,1,7"),
    ([("a", "e", 1, "")], ("key", "etag", "size", "base"), "row 1 has no base"),
    (
        [("a", "e", 1, "s3://x"), ("b", "e", 1, "s3://y")],
        ("key", "etag", "size", "base"),
        "row 2 has another base",
    ),
]


@pytest.mark.parametrize(("rows", "header", "message"), BAD)
def test_a_bad_manifest_is_refused_with_file_and_place(tmp_path, rows, header, message):
    manifest = write_csv(tmp_path / "m.csv", rows, header or ("key", "etag", "size"))
    with pytest.raises(ManifestInvalid, match=f"m.csv.*{message}"):
        list(open_source(manifest).refs())


def test_rows_are_numbered_through_all_pieces_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(manifests, "_BLOCK_BYTES", 256)
    rows = [(f"{number:05d}.jpg", "e", 1) for number in range(500)]
    assert len(list(open_source(write_csv(tmp_path / "m.csv", rows)).refs())) == 500
    rows[400] = ("x.jpg", "e", "1.5")
    with pytest.raises(ManifestInvalid, match="row 401 has no size"):
        list(open_source(write_csv(tmp_path / "m.csv", rows)).refs())


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00key", b"PAR1"])
@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_what_is_no_manifest_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestInvalid, match=name):
        list(open_source(str(tmp_path / name)).refs())


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.parquet"])
def test_a_manifest_that_is_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ManifestInvalid, match=f"{name} is no file"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_manifest_that_is_not_there(tmp_path, name):
    with pytest.raises(ObjectNotFound, match=name):
        open_source(str(tmp_path / name))


def test_a_manifest_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("pyarrow.OSFile", denied)  # the tests may run as root, whom nothing is denied
    with pytest.raises(ManifestInvalid, match=r"list\.csv cannot be read as a manifest: .*Permission denied"):
        readable_source(str(tmp_path / "list.csv"))

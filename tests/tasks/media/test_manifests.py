"""Manifests list the images of a source: CSV and Parquet, in folders and buckets; bad ones are refused."""

from __future__ import annotations

import csv
import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from infra.errors import ObjectNotFound
from infra.records import ImageRef
from tasks.media import manifests
from tasks.media.manifests import ManifestInvalid
from tasks.media.sources import open_source, readable_source

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
        "row 2 has a base other",
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
def test_a_file_that_is_not_a_manifest_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestInvalid, match=name):
        list(open_source(str(tmp_path / name)).refs())


@pytest.mark.parametrize("name", ["pipe.csv", "pipe.parquet"])
def test_a_manifest_that_is_a_pipe_is_refused_at_once(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ManifestInvalid, match=f"{name} is not a file"):
        open_source(str(tmp_path / name))


@pytest.mark.parametrize("name", ["m.csv", "m.parquet"])
def test_a_manifest_that_is_not_there(tmp_path, name):
    with pytest.raises(ObjectNotFound, match=name):
        open_source(str(tmp_path / name))


def test_a_manifest_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: str) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("pyarrow.OSFile", denied)  # tests may run as root, for whom no file is unreadable
    with pytest.raises(ManifestInvalid, match=r"list\.csv cannot be read as a manifest: .*Permission denied"):
        readable_source(str(tmp_path / "list.csv"))

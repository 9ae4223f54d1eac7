"""Files of decisions: JSON and CSV from the review page are read; all others are refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.errors import ObjectNotFound
from tasks.curation.decisions import Decision, DecisionsInvalid, read_decisions

ROW = {"crop_id": "x", "judgement": "j", "decision": "accept"}


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.json", json.dumps([ROW, ROW | {"crop_id": "y", "decision": "reject"}])),
        ("d.csv", "crop_id,judgement,decision\nx,j,accept\ny,j,reject\n"),
        ("bom.csv", b"\xef\xbb\xbfdecision,crop_id,judgement\r\naccept,x,j\r\nreject,y,j\r\n"),
    ],
)
def test_both_kinds_are_read(tmp_path, name, content):
    found = read_decisions(write(tmp_path / name, content), {"x", "y", "z"})
    assert found == [Decision("x", "j", "accept"), Decision("y", "j", "reject")]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x80\x00\xff", "not readable as JSON or CSV"),
        ("{", "not readable as JSON or CSV"),
        ("[" * 100_000, "not readable as JSON or CSV"),
        ("{}", "does not hold a list of decisions"),
        ("[1]", "row 1 has 1"),
        (
            json.dumps([ROW | {"pseudo_label": "s3://theirs"}]),
            "must have exactly crop_id, judgement, decision",
        ),
        (json.dumps([{"crop_id": "x"}]), "row 1 has crop_id"),
        (json.dumps([ROW | {"crop_id": 7}]), "a value that is missing or not text"),
        (json.dumps([ROW | {"decision": "ACCEPT\x1b[2J"}]), r"decision 'ACCEPT\?\[2J'; use accept or reject"),
        (json.dumps([ROW, ROW]), "row 2: a second decision on crop x"),
        (json.dumps([ROW | {"crop_id": "../../etc"}]), "1 of 1 decisions are on crops .* \\(../../etc\\)"),
    ],
)
def test_hostile_files_are_refused_by_name(tmp_path, content, words):
    path = write(tmp_path / "d.json", content)
    with pytest.raises(DecisionsInvalid, match=words) as refused:
        read_decisions(path, {"x"})
    assert str(refused.value).startswith(path)
    assert str(refused.value).isprintable()


def test_columns_of_a_table_are_checked(tmp_path):
    with pytest.raises(DecisionsInvalid, match="row 1 has key, verdict"):
        read_decisions(write(tmp_path / "d.csv", "key,verdict\nx,good\n"), {"x"})


def test_a_row_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(DecisionsInvalid, match="row 1"):
        read_decisions(write(tmp_path / "d.csv", "crop_id,judgement,decision\nx,j,accept,more\n"), {"x"})


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ObjectNotFound, match=r"d\.json"):
        read_decisions(str(tmp_path / "d.json"), {"x"})

"""Blocks come back as they were written; a full or missing folder is one line with the way out."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from infra.errors import StorageError
from infra.storage.spill import SpillFile


def test_blocks_are_read_in_any_order_while_others_are_appended() -> None:
    with SpillFile() as file:
        first = file.append(b"first")
        second = file.append(memoryview(b"second"))
        assert file.read(second) == b"second"
        third = file.append(b"")
        assert [file.read(place) for place in (third, first, second)] == [b"", b"first", b"second"]


def test_no_file_is_left_and_the_space_is_free_after_closing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SpillFile() as file:
        file.append(b"block")
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed file"):
        file.append(b"block")


def test_a_missing_folder_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match=r"missing: No such file or directory; set TMPDIR to a folder"):
        SpillFile()


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    full = Path("/dev/full").open("w+b", buffering=0)  # noqa: SIM115 - the spill file closes it
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
    file = SpillFile()
    with pytest.raises(StorageError, match="No space left on device; set TMPDIR to a folder"):
        file.append(b"block")

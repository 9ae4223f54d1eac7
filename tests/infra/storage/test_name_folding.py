"""Folding of names in a folder is detected by writing a file there, which is removed again."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.storage.name_folding import NameFolding, probe_name_folding

Fold = Callable[[str], str]


def composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("fold", "found"),
    [
        (str, NameFolding()),
        (str.lower, NameFolding(ignores_case=True)),
        (composed, NameFolding(normalises=True)),
        (lambda name: composed(name).lower(), NameFolding(ignores_case=True, normalises=True)),
    ],
    ids=["ext4", "exFAT", "HFS+ with case", "APFS"],
)
def test_the_names_that_a_folder_takes_for_one_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fold: Fold, found: NameFolding
) -> None:
    def exists(path: str) -> bool:
        folder, name = os.path.split(path)
        return any(fold(other) == fold(name) for other in os.listdir(folder))

    with monkeypatch.context() as patch:
        patch.setattr(os.path, "exists", exists)
        assert probe_name_folding(str(tmp_path)) == found
    assert list(tmp_path.iterdir()) == []

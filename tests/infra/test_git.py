from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from infra import git


def run(*words: str, where: Path) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    ended = subprocess.run(
        ["git", "-C", where, *settings, *words], capture_output=True, text=True, check=True
    )
    return ended.stdout.strip()


def test_the_description_has_the_commit_and_whether_files_were_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(git, "ROOT", tmp_path)
    assert git.commit() is None
    run("init", "-q", where=tmp_path)
    assert git.commit() is None  # nothing is committed yet
    (tmp_path / "file").write_text("1")
    run("add", "file", where=tmp_path)
    run("commit", "-q", "-m", "one", where=tmp_path)
    run("tag", "v1", where=tmp_path)
    assert git.commit() == run("rev-parse", "HEAD", where=tmp_path)
    (tmp_path / "file").write_text("2")
    assert git.commit() == run("rev-parse", "HEAD", where=tmp_path) + "-dirty"

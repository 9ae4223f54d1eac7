"""Files have a temporary name while they are written; those that killed processes left are removed, no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from infra.failpoints import VARIABLE
from infra.process_identity import Holder
from infra.storage import temporary_files
from infra.storage.location import open_location
from infra.storage.temporary_files import OLD_SECONDS, is_temporary, sweep, temporary_name
from tests.support.worlds.batch import PATIENCE, ROOT

PUT = (
    "import sys; from infra.storage.location import open_location\n"
    "open_location(sys.argv[1]).put('a/x.jpg', b'half')"
)


def killed_in_a_put(folder: Path) -> Path:
    """Return the file left by a process that was killed while it wrote."""
    ended = subprocess.run(
        [sys.executable, "-c", PUT, str(folder)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: "during-put:self"},
        timeout=PATIENCE,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    (left,) = (path for path in folder.rglob("*") if path.is_file())
    return left


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generate names as on another machine."""
    there = replace(Holder.this_process(), machine="0123456789abcdef")
    monkeypatch.setattr(Holder, "this_process", lambda: there)
    temporary_files._mark.cache_clear()
    monkeypatch.setattr(temporary_files, "_mark", temporary_files._mark.__wrapped__)


def made(path: Path, seconds_ago: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"half")
    then = path.stat().st_mtime - seconds_ago
    os.utime(path, (then, then))
    return path


def test_names_differ_and_are_ours() -> None:
    names = {temporary_name() for _ in range(100)}
    assert len({name for name in names if is_temporary(f"a/{name}")}) == 100
    assert not is_temporary(".derain-x.tmp/photo.jpg")


def test_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    left = killed_in_a_put(tmp_path)
    assert left.parent == tmp_path / "a"
    assert is_temporary(left.name)
    assert open_location(str(tmp_path)).sweep() == 1
    assert not left.exists()


def test_files_of_a_living_process_stay(tmp_path: Path) -> None:
    ours = made(tmp_path / temporary_name())
    assert sweep(str(tmp_path)) == 0
    assert ours.exists()


@pytest.mark.usefixtures("elsewhere")
def test_only_old_files_of_another_machine_are_removed(tmp_path: Path) -> None:
    young, old = made(tmp_path / temporary_name()), made(tmp_path / temporary_name(), OLD_SECONDS + 60)
    assert sweep(str(tmp_path)) == 1
    assert (young.exists(), old.exists()) == (True, False)


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    names = (
        "photo.jpg",
        ".derain-notes.tmp",
        ".derain-0123456789abcdef.tmp",
        f"my{temporary_name()}",
        f"{temporary_name()}.jpg",
        f"{temporary_name()}/photo.jpg",
        "photo.tmp",
        ".DS_Store",
    )
    files = [made(tmp_path / name, 10 * OLD_SECONDS) for name in names]
    (tmp_path / "linked").symlink_to(
        made(tmp_path.parent / "beyond" / temporary_name(), 10 * OLD_SECONDS).parent
    )
    assert sweep(str(tmp_path)) == 0
    assert all(path.exists() for path in files)
    assert len(list((tmp_path / "linked").iterdir())) == 1


def test_a_folder_that_is_not_there_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert sweep(str(tmp_path / "none")) == 0

"""`make run` passes its arguments on and shows the exit code of the run; `make up` calls compose."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.servers.server_processes import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def made(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `make run` with a `derain` that prints its arguments and exits with 130; install nothing."""
    derain = folder / "derain"
    derain.write_text('#!/bin/sh\necho "$@"\nexit 130\n')
    derain.chmod(0o755)
    command = ["make", "-o", "install", "run", f"BIN={folder}", *words]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_code_of_the_run_is_shown(tmp_path: Path) -> None:
    ended = made(tmp_path)
    assert ended.stdout.splitlines()[0] == "--samples"
    assert "Error 130" in ended.stderr


def test_source_and_destination_are_passed_on(tmp_path: Path) -> None:
    assert made(tmp_path, "SOURCE=my rain", "DEST=out").stdout.splitlines()[0] == "my rain out"


def test_a_destination_alone_is_refused_in_the_words_of_make(tmp_path: Path) -> None:
    assert "DEST=out needs SOURCE= too" in made(tmp_path, "DEST=out").stderr


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A folder with what `make up` reads, and two commands that print their words in place of compose."""
    (tmp_path / "deploy").mkdir()
    for name in ("Makefile", "deploy/env.example"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("docker", "podman-compose"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    return tmp_path


def composed(folder: Path, *words: str) -> list[str]:
    """Run make in that folder, and return the lines that compose printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PATH"] = f"{folder}{os.pathsep}{environment['PATH']}"
    command = ["make", "--silent", *words]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()


def test_the_first_make_up_writes_a_password_and_the_user_that_owns_the_photographs(
    installation: Path,
) -> None:
    assert composed(installation, "up", "WORKERS=4") == [
        "docker compose build",
        "docker compose up --detach --scale worker=4",
    ]
    written = (installation / ".env").read_text()
    assert re.search(r"^POSTGRES_PASSWORD=[0-9a-f]{48}$", written, re.MULTILINE)
    assert re.search(rf"^DERAIN_USER={os.getuid()}:{os.getgid()}$", written, re.MULTILINE)
    assert (installation / ".env").stat().st_mode & 0o777 == 0o600
    composed(installation, "up")
    assert (installation / ".env").read_text() == written


def test_podman_is_taken_where_docker_has_no_compose(installation: Path) -> None:
    """Root in a container of podman is the user who started it."""
    (installation / "docker").write_text("#!/bin/sh\nexit 125\n")
    assert composed(installation, "up")[0] == "podman-compose build"
    assert "\nDERAIN_USER=0:0\n" in (installation / ".env").read_text()


def test_make_down_removes_all_workers(installation: Path) -> None:
    """podman-compose may leave all but the first otherwise."""
    assert composed(installation, "down") == ["docker compose down --remove-orphans"]

"""`make run` passes its arguments on and shows the exit code of the run."""

from __future__ import annotations

import os
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

"""The benchmark of a retraining's cost: an earlier commit is checked out, and bytes read by imports are counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.learning.retraining_cost import COUNTER, ROOT, checked_out, commit_of


def test_a_commit_is_checked_out_for_a_while():
    with checked_out("HEAD") as checkout:
        assert commit_of(checkout) == commit_of(ROOT)
    assert not checkout.exists()
    listed = subprocess.run(["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(checkout) not in listed.stdout


def test_the_bytes_of_imported_modules_are_counted(tmp_path: Path):
    lines = tmp_path / "import_bytes"
    environment = os.environ | {"PYTHONPATH": str(COUNTER), "IMPORT_BYTES": str(lines)}
    (tmp_path / "sample.py").write_text("x = 1\n")
    program = (
        f"import sys; sys.dont_write_bytecode = True; sys.path.insert(0, {str(tmp_path)!r}); import sample"
    )
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)
    assert "6" in lines.read_text().split()

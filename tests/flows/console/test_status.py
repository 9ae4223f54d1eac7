"""`derain status`: its counts and its list of rejected images agree with the source and the destination."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.console.app import run

MODEL = ["--model", "student-small"]

pytestmark = pytest.mark.usefixtures("here")


def test_status_names_no_image_that_is_not_rejected_any_more(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = next((here / "rainy").iterdir())
    for name in ("mended.png", "removed.png", "empty.png"):
        (here / "rainy" / name).write_bytes(b"")
    assert run(["rainy", "out", *MODEL]) == 0
    (here / "rainy" / "mended.png").write_bytes(first.read_bytes())
    (here / "rainy" / "removed.png").unlink()
    for pending in (True, False):
        capsys.readouterr()
        assert run(["status", "rainy", "out", *MODEL]) == 0
        said = capsys.readouterr().out
        assert f"1 rejected (1 zero bytes), {int(pending)} pending" in said
        assert [line for line in said.splitlines() if line.startswith("rejected")] == [
            "rejected  empty.png: zero bytes"
        ]
        assert run(["rainy", "out", *MODEL]) == 0


def test_status_of_some_files_counts_only_these(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second, _ = sorted(f"rainy/{path.name}" for path in (here / "rainy").iterdir())
    (here / "rainy" / "empty.png").write_bytes(b"")
    assert run([first, second, "out", *MODEL]) == 0
    capsys.readouterr()
    assert run(["status", first, second, "out", *MODEL]) == 0
    assert "2 done (2 by student-small" in (said := capsys.readouterr().out)
    assert " 0 pending" in said
    assert "2 left out (2 not included)" in said

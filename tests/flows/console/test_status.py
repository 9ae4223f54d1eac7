"""`derain status`: its counts and its list of rejected images agree with the source and the destination."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows import status
from flows.console.app import run
from infra.errors import AccessDenied

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


def test_status_needs_no_right_to_write(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rainy", "out", *MODEL]) == 0

    def denied(*_: object, **__: object) -> None:
        raise AccessDenied("read-only")

    # Tests may run as root, who may write anywhere.
    monkeypatch.setattr("tasks.batch.preflight.check_workspace", denied)
    monkeypatch.setattr("infra.storage.local.LocalLocation.put", denied)
    before = sorted(here.rglob("*"))
    assert run(["status", "rainy", "out", *MODEL]) == 0
    assert "3 done" in capsys.readouterr().out
    assert sorted(here.rglob("*")) == before
    assert run(["rainy", "out", *MODEL]) == 1
    assert "read-only" in capsys.readouterr().err


def test_both_commands_split_globs_at_commas(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for count in (
        lambda: run(["status", "rainy", "out", *MODEL, "--include", "no.jpg,*.png", "--exclude", "a,b"]),
        lambda: status.status("rainy", "out", MODEL[1], include=["no.jpg,*.png"], exclude=["a,b"]),
    ):
        count()
        said.append(capsys.readouterr().out.splitlines()[0])
    assert said[0] == said[1]
    assert "3 pending" in said[0]

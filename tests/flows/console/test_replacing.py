"""Outputs of `derain SOURCE DEST` that exist already: which are replaced, kept or protected."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest

from flows.console.app import run
from infra.settings import Settings
from infra.storage.lease import lease_of
from tasks.batch.replacing import aside_of

MODEL = ["--model", "student-small"]

pytestmark = pytest.mark.usefixtures("here")


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def earlier(here: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, bytes]:
    run(["rainy", "out", *MODEL])
    capsys.readouterr()
    return outputs(here / "out")


def test_that_they_will_be_replaced_is_said_before(
    here: Path, earlier: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["rainy", "out", "--redo", "stale"]) == 0
    lines = capsys.readouterr().err.splitlines()
    (said,) = (i for i, line in enumerate(lines) if f"3 files in {here / 'out'} will be replaced" in line)
    assert lines[said].endswith("; --keep-old keeps them")
    assert said < next(i for i, line in enumerate(lines) if "3 of 3 images, " in line)
    assert all(outputs(here / "out")[name] != data for name, data in earlier.items())


def test_those_of_somebody_else_are_counted_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "out").mkdir()
    name = next(path.name for path in (here / "rainy").iterdir())
    (here / "out" / name).write_bytes(b"dear to somebody")
    assert run(["rainy", "out", "--keep-old", *MODEL]) == 0
    assert f"1 file in {here / 'out'} will be replaced, and kept in " in capsys.readouterr().err
    (aside,) = here.glob("out-old-*")
    assert outputs(aside) == {name: b"dear to somebody"}


def test_those_of_somebody_else_are_kept_unless_they_may_be_overwritten(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "out").mkdir()
    name = next(path.name for path in (here / "rainy").iterdir())
    (here / "out" / name).write_bytes(b"dear to somebody")
    assert run(["rainy", "out", *MODEL]) == 0
    (aside,) = here.glob("out-old-*")
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "will be replaced" in line)
    assert f"; all, which no run has recorded, are kept in {aside} (--overwrite keeps none)" in line
    assert outputs(aside) == {name: b"dear to somebody"}
    assert outputs(here / "out")[name] != b"dear to somebody"


def test_overwrite_keeps_nothing(here: Path) -> None:
    (here / "out").mkdir()
    name = next(path.name for path in (here / "rainy").iterdir())
    (here / "out" / name).write_bytes(b"dear to nobody")
    assert run(["rainy", "out", "--overwrite", *MODEL]) == 0
    assert outputs(here / "out")[name] != b"dear to nobody"
    assert list(here.glob("out-old-*")) == []


@pytest.mark.parametrize(
    ("destination", "aside"),
    [
        ("/photos/out", "/photos/out-old-20261128T010203"),
        ("s3://bucket/out", "s3://bucket/out-old-20261128T010203"),
        ("s3://bucket", "s3://bucket/old-20261128T010203"),
    ],
)
def test_they_are_kept_next_to_the_destination_or_in_the_same_bucket(destination: str, aside: str) -> None:
    assert aside_of(destination, datetime(2026, 11, 28, 1, 2, 3)) == aside


def test_those_of_somebody_else_are_kept_after_a_run_of_some_or_a_killed_one(here: Path) -> None:
    (here / "out").mkdir()
    names = sorted(path.name for path in (here / "rainy").iterdir())
    for name in names:
        (here / "out" / name).write_bytes(b"dear to somebody")
    assert run(["rainy", "out", "--limit", "1", *MODEL]) == 0
    with lease_of(Settings(_env_file=None), str(here / "out"), "killed") as lease:
        lease.abandon()
    (held,) = (here / "var" / "leases").glob("*2.json")
    held.write_text(re.sub('"expires_at": [^,]+', '"expires_at": 0', held.read_text()))
    assert run(["rainy", "out", *MODEL]) == 0
    kept = {path.name: path.read_bytes() for path in here.glob("out-old-*/*")}
    assert kept == dict.fromkeys(names, b"dear to somebody")


def test_only_those_of_somebody_else_are_kept(
    here: Path, earlier: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    name = next(iter(earlier))
    new = here / "rainy" / f"new-{name}"
    new.write_bytes((here / "rainy" / name).read_bytes())
    (here / "out" / new.name).write_bytes(b"dear to somebody")
    assert run(["rainy", "out", "--redo", "stale"]) == 0
    (aside,) = here.glob("out-old-*")
    assert outputs(aside) == {new.name: b"dear to somebody"}
    line = f"4 files in {here / 'out'} will be replaced; 1 of them, which no run has recorded, are kept in {aside}"
    assert line in capsys.readouterr().err


def test_originals_are_not_replaced_when_the_places_are_swapped(
    here: Path, earlier: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    originals = outputs(here / "rainy")
    for command in (
        ["out", "rainy", "--overwrite"],
        ["out", "rainy", "--plan-only"],
        ["status", "out", "rainy"],
    ):
        assert run([*command, *MODEL]) == 1
        line = capsys.readouterr().err.splitlines()[-1]
        assert line.startswith(f"derain: {here / 'rainy'}/")
        assert "is an image that was derained from there" in line
    assert outputs(here / "rainy") == originals
    assert run(["rainy", "out", *MODEL]) == 0


def test_keep_old_puts_them_aside_whole(here: Path, earlier: dict[str, bytes]) -> None:
    assert run(["rainy", "out", "--redo", "stale", "--keep-old"]) == 0
    (aside,) = here.glob("out-old-*")
    assert outputs(aside) == earlier

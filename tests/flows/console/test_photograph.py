"""`derain photo.jpg` derains one file into another, without a workspace, a server or a worker."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.console.app import run
from models import derain

RAINY = np.random.default_rng(5).integers(0, 256, (24, 32, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def photograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    exif = Image.Exif()
    exif[0x010E] = "a rainy day"
    Image.fromarray(RAINY).save(tmp_path / "photo.png", exif=exif)
    return tmp_path / "photo.png"


def test_the_derained_photograph_is_next_to_its_source_and_nothing_else_is_made(
    photograph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["photo.png", "--model", "student-small"]) == 0
    with Image.open(photograph.with_name("photo-derained.png")) as derained:
        assert np.array_equal(np.asarray(derained), derain(RAINY, "student-small"))
        assert derained.getexif()[0x010E] == "a rainy day"
    said = capsys.readouterr()
    (line,) = said.out.splitlines()
    assert line.startswith(f"{photograph.with_name('photo-derained.png')}: rain removed from ")
    assert said.err.splitlines() == [
        "derain: reading photo.png",
        "derain: loading the network",
        "derain: deraining 0.0 megapixels",
    ]
    assert sorted(path.name for path in photograph.parent.iterdir()) == ["photo-derained.png", "photo.png"]


def test_the_champion_that_ships_derains_where_nothing_is_registered(photograph: Path) -> None:
    assert run(["photo.png", "out.jpg"]) == 0
    with Image.open("out.jpg") as derained:
        assert derained.format == "JPEG"
        assert derained.size == (32, 24)
    assert not Path("var").exists()


def test_an_output_that_is_there_is_not_replaced_unasked(
    photograph: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out.png").write_bytes(b"dear to somebody")
    assert run(["photo.png", "out.png"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("out.png already exists; --overwrite replaces it, --keep-old renames it first")
    assert Path("out.png").read_bytes() == b"dear to somebody"


def test_keep_old_puts_the_earlier_output_aside(photograph: Path) -> None:
    Path("out.png").write_bytes(b"dear to somebody")
    assert run(["photo.png", "out.png", "--keep-old", "--model", "student-small"]) == 0
    (aside,) = Path().glob("out-old-*.png")
    assert aside.read_bytes() == b"dear to somebody"
    with Image.open("out.png") as derained:
        assert derained.size == (32, 24)


def test_overwrite_replaces_it(photograph: Path) -> None:
    Path("out.png").write_bytes(b"old")
    assert run(["photo.png", "out.png", "--overwrite", "--model", "student-small"]) == 0
    with Image.open("out.png") as derained:
        assert derained.size == (32, 24)
    assert list(Path().glob("*old*")) == []


@pytest.mark.parametrize(
    "option", ["--plan-only", "--limit=1", "--redo=stale", "--include=*.png", "--exclude=a"]
)
def test_options_of_folders_are_refused_instead_of_ignored(
    photograph: Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["photo.png", option]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    name = option.partition("=")[0]
    assert line == f"derain: {name} is for folders and buckets, not for a single photograph; leave it out"
    assert not photograph.with_name("photo-derained.png").exists()


def test_samples_are_not_derained_instead_of_a_photograph(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--samples", "photo.png"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "derain: --samples derains photographs of its own; leave it out to derain photo.png"
    assert not Path("var").exists()


def test_a_file_that_is_not_a_photograph_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Path("broken.jpg").write_bytes(b"<html>not found</html>")
    assert run(["broken.jpg"]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("derain: ")
    assert not Path("broken-derained.jpg").exists()

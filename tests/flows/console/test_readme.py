"""The quick start of the README works literally in an empty folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from flows.console.app import run
from tests.support.servers.deployments import put_photos
from tests.support.servers.server_processes import ROOT


@pytest.fixture
def quick_start() -> str:
    return (ROOT / "README.md").read_text().partition("## Quick start")[2].partition("\n## ")[0]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "var"))
    put_photos(tmp_path / "rainy", 2)
    Image.effect_noise((32, 24), 60).convert("RGB").save(tmp_path / "photo.jpg")
    return tmp_path


def test_every_derain_command_does_what_it_says(
    quick_start: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    commands = [line for line in quick_start.splitlines() if line.startswith("derain ")]
    assert [shlex.split(line)[1] for line in commands][:2] == ["photo.jpg", "photo.jpg"]
    for line in commands:
        assert run(shlex.split(line, comments=True)[1:]) == 0, line
    made = {path.name for path in here.iterdir()}
    assert made == {"photo.jpg", "photo-derained.jpg", "out.png", "rainy", "derained", "var"}
    assert len(list((here / "derained").iterdir())) == 2
    assert len(opened) == 1


def test_the_python_lines_run(quick_start: str, here: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", quick_start, re.DOTALL)
    exec(code, {})
    with Image.open(here / "derained.jpg") as derained:
        assert derained.size == (32, 24)

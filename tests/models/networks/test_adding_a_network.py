"""The steps of "Add a network" in CONTRIBUTING.md work in a copy of the project."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.worlds.rainy import write_training_folder

ROOT = Path(__file__).parents[3]
SECTION = re.compile(r"## Add a network\n(.*?)\n## ", re.DOTALL)
NEEDED = ("pyproject.toml", "examples/my_net.py", "models", "tests/support", "tests/models/networks")
QUICK = "--steps 2 --batch 2 --crop 32 --validate-every 2 --validation-photographs 1"


def section() -> str:
    found = SECTION.search((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert found is not None
    return found[1]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in NEEDED:
        source, copy = ROOT / name, tmp_path / "project" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        ignored = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(source, copy, ignore=ignored) if source.is_dir() else shutil.copy(source, copy)
    return tmp_path / "project"


def add_row(project: Path, row: str) -> None:
    """Add a row at the end of the table of architectures, and import its module."""
    path = project / "models" / "networks" / "architectures.py"
    code = path.read_text()
    last = next(line for line in reversed(code.splitlines()) if line.startswith("        Architecture("))
    code = code.replace(last, f"{last}\n        {row}")
    path.write_text(code.replace("import afr_net,", "import my_net, afr_net,"))


def command(line: str, project: Path, data: Path) -> list[str]:
    words = shlex.split(line, comments=True)
    words = [str(data) if word == "DATA" else word for word in words]
    words = [sys.executable if word == "python" else word for word in words]
    return [*words, *shlex.split(QUICK)] if "models.train" in words else words


@pytest.mark.slow
def test_a_network_is_added_tested_and_trained_by_these_lines(project: Path, tmp_path: Path):
    text, data = section(), write_training_folder(tmp_path / "data")
    assert len([line for line in text.splitlines() if line and not line.startswith("```")]) <= 10
    row = re.search(r"`(Architecture\(.*\),)`", text)
    assert row is not None
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    copied, lines = blocks[0].splitlines(), blocks[1].splitlines()
    assert [line.split()[2] for line in lines] == [
        "pytest",
        "models.train",
        "benchmarks.release.ship",
    ]
    for line in copied:
        subprocess.run(command(line, project, data), cwd=project, check=True)
    add_row(project, row[1])
    ended = [
        subprocess.run(command(line, project, data), cwd=project, capture_output=True, text=True)
        for line in lines[:2]
    ]
    assert [run.returncode for run in ended] == [0, 0], [run.stdout + run.stderr for run in ended]
    assert re.search(r"\b7 passed", ended[0].stdout.splitlines()[-1])
    assert (project / "checkpoints" / "my-net" / "my-net-base.safetensors").exists()

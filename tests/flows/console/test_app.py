"""The command `derain`: immediate refusals, exit codes, and sub-commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.console.app import COMMANDS, run
from flows.console.arguments import COMMAND_NAMES
from flows.console.report import newest_report
from infra.settings import Settings
from infra.tracking.registry import Registry
from models.shipped import shipped_networks
from tests.support.servers.server_processes import ROOT


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DERAIN_WORKSPACE", str(tmp_path / "var"))
    return tmp_path


def test_every_command_can_be_suggested() -> None:
    assert set(COMMANDS) == set(COMMAND_NAMES)


def test_help_names_every_other_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert all(f"derain {name}" in words for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_other_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"Usage: derain {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--quality", "0", "x.jpg"], ["--sauce", "x"], ["--export", "gif", "x.jpg"]]
)
def test_a_usage_error_exits_with_2(words: list[str]) -> None:
    assert run(words) == 2


@pytest.mark.parametrize(
    ("words", "line"),
    [([], "derain: nothing to derain: name a photograph"), (["status"], "derain: derain status")],
)
def test_a_command_without_a_place_exits_with_2(
    words: list[str],
    line: str,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("DERAIN_SOURCE", raising=False)
    assert run(words) == 2
    assert capsys.readouterr().err.startswith(line)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["rainz/", "out/"], "derain: rainz/: no such file or folder"),
        (["statsu", "rainy/"], "derain: statsu: no such file or folder; did you mean derain status?"),
        (["reprot"], "derain: reprot: no such file or folder; did you mean derain report?"),
        (
            ["s3://bucket"],
            "derain: s3://bucket: say where the derained photographs go, as in derain s3://bucket DEST",
        ),
        (
            ["photo.png", "--model", "student-smal"],
            "derain: student-smal: no network of this name ships, and there is no such file;"
            " did you mean student-small?",
        ),
    ],
    ids=["path", "command", "command alone", "destination", "model"],
)
def test_a_refusal_is_one_line_before_anything_heavy_is_loaded(
    words: list[str], line: str, here: Path
) -> None:
    (here / "photo.png").write_bytes(b"")
    script = (
        "import sys; from flows.console.app import run; code = run(sys.argv[1:]);"
        "print(code, [name for name in ('torch', 'prefect', 'mlflow', 'distributed') if name in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, *words],
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "1 []\n"
    assert ended.stderr == line + "\n"
    assert [path.name for path in here.iterdir()] == ["photo.png"]


class TestModels:
    """`derain models`."""

    def test_shipped_networks_are_listed_with_sizes_and_figures(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["models"]) == 0
        shown = capsys.readouterr().out
        for network in shipped_networks():
            (line,) = [line for line in shown.splitlines() if line.split()[:1] == [network.name]]
            assert "M parameters" in line
            assert "light rain" in line
        assert "none yet; the champion is derain-student/1, which is student-large." in shown

    @pytest.mark.slow
    def test_registered_versions_are_listed_with_their_aliases(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        registry, shipped = Registry(Settings()), shipped_networks()[0].read()
        registry.register_shipped(shipped.weights, shipped.config)
        assert run(["models"]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "derain-student/" in line]
        assert line.split()[0] == "derain-student/1"
        assert line.split()[-1] == "@champion"


class TestReport:
    """`derain report`."""

    def test_without_a_report_it_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["report"]) == 1
        assert "no report yet" in capsys.readouterr().err

    def test_the_newest_one_is_opened(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = here / "var" / "reports"
        folder.mkdir(parents=True)
        for name in (
            "20260101T000000-aaaa.html",
            "20260301T000000-cccc.html",
            "20260201T000000-bbbb.html",
            "z.txt",
        ):
            (folder / name).write_text("")
        opened: list[str] = []
        monkeypatch.setattr("webbrowser.open", opened.append)
        assert run(["report"]) == 0
        assert (
            opened == [newest_report(str(here / "var"))] == [(folder / "20260301T000000-cccc.html").as_uri()]
        )
        assert run(["report", "--no-browser"]) == 0
        assert len(opened) == 1

"""The training command from the user's view: its output, and its end after Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.rain.banks import load_training_data
from models.training.command import add_fields, main, options, train_config
from models.training.config import TrainConfig
from models.training.distill.objective import DistillConfig
from tests.support.worlds.rainy import write_training_folder
from tests.support.worlds.trainings import command

ROOT = Path(__file__).parents[3]
CONFIG = TrainConfig(
    preset="student-tiny", batch=3, crop=32, warm_up=2, validate_every=3, validation_photographs=2
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_folder(tmp_path_factory.mktemp("training"))


def begun(moment: str, process: subprocess.Popen[str], out: Path) -> bool:
    """Return whether a training has reached a moment: importing, reading, or training."""
    if moment == "importing PyTorch":
        return "libtorch" in Path(f"/proc/{process.pid}/maps").read_text()
    if moment == "reading":
        assert process.stdout is not None
        return process.stdout.readline().startswith("reading ")
    return (out / "curve.csv").exists()


@pytest.mark.parametrize("defaults", [TrainConfig(), DistillConfig()], ids=lambda each: type(each).__name__)
def test_every_option_is_explained_and_has_its_default(defaults):
    parser = argparse.ArgumentParser()
    add_fields(parser, defaults)
    for action in parser._actions[1:]:
        explanation, _, default = str(action.help).rpartition("; default: ")
        value = getattr(defaults, action.dest)
        assert len(explanation.split()) >= 4, action.option_strings
        assert default == {"True": "on", "False": "off", "": "none"}.get(str(value), str(value))


@pytest.mark.parametrize(
    ("words", "compiled"),
    [
        ("--steps 5000", True),
        ("--steps 4999", False),
        ("--steps 5000 --no-compile", False),
        ("--steps 9 --compile", True),
    ],
)
def test_a_long_training_is_compiled_unless_it_says_otherwise(words: str, compiled: bool):
    parser = options("Train.", "python -m models.train")
    arguments = parser.parse_args(["--data", "data", "--out", "out", *words.split()])
    assert train_config(arguments).compile is compiled
    assert "default: on for 5,000 steps or more" in " ".join(parser.format_help().split())


def test_an_output_that_cannot_be_written_is_one_line(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["models.train", "--data", str(data), "--out", "/dev/null/out"])
    with pytest.raises(SystemExit, match="Not a directory: '/dev/null/out'"):
        main()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "moment"),
    [
        ("models.train", "importing PyTorch"),
        ("models.train", "reading"),
        ("models.train", "training"),
        ("tasks.training", "importing PyTorch"),
    ],
)
def test_ctrl_c_is_one_line_at_any_moment(data: Path, tmp_path: Path, module: str, moment: str):
    words = [
        module if word == "models.train" else word
        for word in command(CONFIG, data, tmp_path / "out", steps=5000)
    ]
    home = {**os.environ, "DERAIN_WORKSPACE": str(tmp_path / "workspace")}
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=home, cwd=ROOT
    )
    while not begun(moment, process, tmp_path / "out"):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    lines = [line for line in errors.splitlines() if line and not line.startswith(CONFIG.preset)]  # the bar
    assert lines == ["interrupted; run the same command again to continue"]
    assert (tmp_path / "out" / "checkpoint.pt").exists() == (moment == "training")


@pytest.mark.slow
def test_a_training_says_what_it_reads_and_repeats_no_hints_of_others(data: Path, tmp_path: Path):
    folder = tmp_path / "login-node"
    folder.mkdir()
    (folder / "srun").symlink_to("/bin/true")  # Lightning recommends srun if it exists
    run = subprocess.run(
        command(CONFIG, data, tmp_path / "out", steps=1),
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
    )
    counts = ", ".join(
        f"{len(list((data / part).glob('*')))} in {part}/" for part in ("clean", "streaks", "garg")
    )
    assert run.stdout.splitlines() == [
        f"reading {data}: {counts}; 0 MiB",
        f"best weights: {tmp_path / 'out' / 'student-tiny.safetensors'}",
    ]
    assert [line for line in run.stderr.splitlines() if line and not line.startswith("student-tiny")] == []


def test_a_bar_shows_how_far_reading_is(data: Path, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    load_training_data(write_training_folder(tmp_path / "fresh"), held_out=False)
    shown = capsys.readouterr().err
    for part in ("clean", "streaks", "garg"):
        assert f"reading {tmp_path / 'fresh' / part}" in shown

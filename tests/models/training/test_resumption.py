"""An interrupted or killed training ends like an undisturbed one; a different training does not resume it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from models.rain.recipes import RECIPES
from models.training import command as cli
from models.training import loop
from models.training.objectives import Supervised
from models.training.same_settings import CheckpointDamaged, CheckpointMismatch, refuse_unfit_start
from models.training.state import restore
from tests.support.worlds.trainings import (
    SIX_STEPS,
    Gained,
    assert_same,
    command,
    curve,
    flat,
    interrupted,
    launched,
    trained,
)

NEVER_SAVED = replace(SIX_STEPS, save_seconds=1e9)


@pytest.mark.parametrize("before_step", [1, 3, 5])
def test_interrupted_training_ends_as_uninterrupted(data: Path, tmp_path: Path, before_step):
    whole = trained(SIX_STEPS, data, tmp_path / "whole")
    interrupted(SIX_STEPS, data, tmp_path / "cut", before_step)
    assert_same(trained(SIX_STEPS, data, tmp_path / "cut"), whole)
    for name in ("student-tiny.safetensors", "student-tiny.json", "curve.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_parameters_of_an_objective_are_trained_and_resumed(data: Path, tmp_path: Path):
    whole = trained(SIX_STEPS, data, tmp_path / "whole", Gained())
    assert whole.objective.gain != 1
    assert whole.objective.brightness > 0
    interrupted(SIX_STEPS, data, tmp_path / "cut", 3, Gained())
    assert_same(trained(SIX_STEPS, data, tmp_path / "cut", Gained()), whole)


def test_bf16_training_resumes_exactly_too(data: Path, tmp_path: Path):
    config = replace(SIX_STEPS, precision="bf16-mixed", steps=4)
    whole = trained(config, data, tmp_path / "whole")
    interrupted(config, data, tmp_path / "cut", 2)
    assert_same(trained(config, data, tmp_path / "cut"), whole)


def test_training_by_muon_resumes_exactly_too(data: Path, tmp_path: Path):
    config = replace(SIX_STEPS, optimizer="muon", precision="bf16-mixed")
    whole = trained(config, data, tmp_path / "whole")
    interrupted(config, data, tmp_path / "cut", 3)
    assert_same(trained(config, data, tmp_path / "cut"), whole)


def test_shares_follow_the_lead_and_are_resumed_exactly(data: Path, tmp_path: Path):
    config = replace(SIX_STEPS, adaptive_shares=True, steps=8, batch=8)
    whole = trained(config, data, tmp_path / "whole")
    assert sum(whole.shares.values()) == pytest.approx(0.75)
    assert whole.shares["recorded"] != RECIPES["mixed"].recorded
    interrupted(config, data, tmp_path / "cut", 5)
    resumed = trained(config, data, tmp_path / "cut")
    assert resumed.shares == whole.shares
    assert_same(resumed, whole)


def test_steps_lost_with_the_process_are_taken_again(data: Path, tmp_path: Path):
    whole = trained(NEVER_SAVED, data, tmp_path / "whole")
    interrupted(NEVER_SAVED, data, tmp_path / "cut", 5)
    assert not (tmp_path / "cut" / "checkpoint.pt").exists()
    assert_same(trained(NEVER_SAVED, data, tmp_path / "cut"), whole)
    assert curve(tmp_path / "cut") == curve(tmp_path / "whole")


@pytest.mark.parametrize(
    ("changed", "value"), [("batch", 4), ("learning_rate", 1e-4), ("seed", 9), ("recipe", "light")]
)
def test_other_hyper_parameters_are_refused_on_resume(data: Path, out: Path, monkeypatch, changed, value):
    trained(replace(SIX_STEPS, steps=1), data, out)
    before = (out / "checkpoint.pt").read_bytes()
    option = f"--{changed.replace('_', '-')}"
    stored = getattr(SIX_STEPS, changed)
    line = f"{option} is {value} here and {stored} in {out}/checkpoint.pt: use the same settings, or another --out"
    monkeypatch.setattr(loop, "load_training_data", pytest.fail)  # it is refused before the data is read
    with pytest.raises(CheckpointMismatch, match=f"^{re.escape(line)}$"):
        trained(replace(SIX_STEPS, **{changed: value}), data, out)
    monkeypatch.setattr(sys, "argv", command(replace(SIX_STEPS, **{changed: value}), data, out)[2:])
    with pytest.raises(SystemExit, match=f"^{re.escape(line)}$"):
        cli.main()
    assert (out / "checkpoint.pt").read_bytes() == before


def test_another_number_of_processes_is_refused_on_resume(data: Path, out: Path):
    trained(replace(SIX_STEPS, steps=1), data, out)
    state = loop.begin(launched(SIX_STEPS), SIX_STEPS, Supervised())
    two: Any = SimpleNamespace(world_size=2, load=launched(SIX_STEPS).load)
    with pytest.raises(CheckpointMismatch, match="processes is 2 here and 1 in "):
        restore(two, SIX_STEPS, state, out / "checkpoint.pt")


def test_steps_may_be_prolonged(data: Path, out: Path):
    trained(replace(SIX_STEPS, steps=2), data, out)
    assert trained(replace(SIX_STEPS, steps=5), data, out).step == 5
    assert trained(replace(SIX_STEPS, steps=5), data, out).step == 5


@pytest.mark.parametrize("left", [b"", b"not a checkpoint", None], ids=["empty", "other", "truncated"])
def test_a_damaged_checkpoint_is_named(data: Path, out: Path, left: bytes | None):
    trained(replace(SIX_STEPS, steps=1), data, out)
    checkpoint = out / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:5000] if left is None else left)
    named = f"^{checkpoint}: not a readable checkpoint .*; remove it to start again$"
    with pytest.raises(CheckpointDamaged, match=named):
        trained(SIX_STEPS, data, out)
    with pytest.raises(CheckpointDamaged, match=named):
        refuse_unfit_start(SIX_STEPS, checkpoint)


def test_a_checkpoint_is_written_whole_or_not_at_all(data: Path, out: Path, monkeypatch):
    trained(replace(SIX_STEPS, steps=2), data, out)
    before = (out / "checkpoint.pt").read_bytes()

    def full_disk(self: Fabric, path: Path, state: object) -> None:
        Path(path).write_bytes(before[:100])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Fabric, "save", full_disk)
        with pytest.raises(OSError, match="No space left"):
            trained(replace(SIX_STEPS, steps=4), data, out)
    assert (out / "checkpoint.pt").read_bytes() == before
    assert trained(replace(SIX_STEPS, steps=4), data, out).step == 4
    assert not list(out.glob("*.partial"))


@pytest.mark.slow
def test_killed_training_ends_as_undisturbed(data: Path, tmp_path: Path):
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    subprocess.run(command(SIX_STEPS, data, undisturbed, steps=40), check=True, capture_output=True)
    process = subprocess.Popen(
        command(SIX_STEPS, data, killed, steps=40), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (killed / "checkpoint.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    subprocess.run(command(SIX_STEPS, data, killed, steps=40), check=True, capture_output=True)
    ends = [torch.load(out / "checkpoint.pt", weights_only=True) for out in (undisturbed, killed)]
    first, second = (flat(end) for end in ends)
    assert first.keys() == second.keys()
    assert all(
        torch.equal(first[name], second[name])
        if isinstance(first[name], Tensor)
        else first[name] == second[name]
        for name in first
    )
    assert curve(killed) == curve(undisturbed)

"""Several processes train one network."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from models.training import loop
from tests.support.worlds.trainings import (
    SIX_STEPS,
    Gained,
    command,
    rank,
)

ROOT = Path(__file__).parents[3]


def test_parameters_of_an_objective_are_learnt_alike_by_all_processes():
    class Twice:
        """A fabric of two processes, of which the other one has gradients of three."""

        def all_reduce(self, gradient: Tensor, reduce_op: str) -> Tensor:
            assert reduce_op == "mean"
            return (gradient + 3) / 2

    objective = Gained()
    loop.share_gradients(Twice(), objective)  # type: ignore[arg-type]
    assert objective.gain.grad == 1.5
    loop.share_gradients(Twice(), objective)  # type: ignore[arg-type]
    assert objective.gain.grad == 2.25


def test_processes_write_a_checkpoint_when_the_first_of_them_does():
    class Second:
        """The second of two processes, whose clock differs from that of the first."""

        world_size, asked = 2, 0

        def broadcast(self, ours: bool) -> bool:
            self.asked += 1
            return not ours

    second: Any = Second()
    config = replace(SIX_STEPS, steps=100, save_seconds=60.0)
    assert [loop.is_checkpoint_due(second, config, loop.DECIDED_EVERY, seconds) for seconds in (0, 99)] == [
        True,
        False,
    ]
    assert not loop.is_checkpoint_due(second, config, loop.DECIDED_EVERY + 1, 99)
    assert second.asked == 2
    assert loop.is_checkpoint_due(second, config, 100, 0)
    assert [loop.is_checkpoint_due(rank(0, 1), config, 1, seconds) for seconds in (0, 99)] == [False, True]


@pytest.mark.slow
def test_two_processes_train_one_network(data: Path, tmp_path: Path):
    run = subprocess.run(
        command(SIX_STEPS, data, tmp_path / "two", devices=2, preset="afr-net-tiny", steps=4, finish=0.5),
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "two" / "afr-net-tiny.safetensors").exists()
    assert torch.load(tmp_path / "two" / "checkpoint.pt", weights_only=True)["step"] == 4


DIVERGES = """
from models.training import command, objectives
from models.training.distributed import rank

forward = objectives.Supervised.forward


def broken_in_the_second(self, network, config, step, pair):
    terms = forward(self, network, config, step, pair)
    broken = step == 2 and rank() == 1
    return {name: term * float("nan") if broken else term for name, term in terms.items()}


objectives.Supervised.forward = broken_in_the_second
command.main()
"""
FALLS = """
from models.evaluation.validation import KINDS, ValidationScore
from models.training import command, objectives

scores = iter((9.0, 8.0, 7.0))
objectives.Supervised.score = lambda *_: ValidationScore(**dict.fromkeys(KINDS, next(scores)))
command.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "line"),
    [
        (DIVERGES, "step 3: not finite: gradient; training stopped"),
        (FALLS, "step 3: the validation score has fallen 2 times in a row"),
    ],
)
def test_all_processes_stop_if_a_training_diverges(data: Path, tmp_path: Path, program: str, line: str):
    script = tmp_path / "train.py"
    script.write_text(program)
    options = command(SIX_STEPS, data, tmp_path / "two", devices=2, validate_every=1, patience=2)[3:]
    run = subprocess.run(
        [sys.executable, str(script), *options], capture_output=True, text=True, timeout=240, cwd=ROOT
    )
    assert run.returncode == 1
    assert line in run.stderr

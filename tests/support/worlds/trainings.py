"""Trainings of a few steps, complete and interrupted, and the contents of their state."""

from __future__ import annotations

import csv
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from models.pairs import RainyPair
from models.training import loop
from models.training.batches import batch_of
from models.training.config import TrainConfig
from models.training.fabric import launch_fabric
from models.training.loop import fit
from models.training.objectives import Objective
from models.training.state import State
from tests.support.samples.train_configs import brief_training
from tests.support.worlds.rainy import small_world

SIX_STEPS = brief_training(steps=6, batch=3, validate_every=3, validation_photographs=2)


def trained(config: TrainConfig, data: Path, out: Path, objective: Objective | None = None) -> State:
    out.mkdir(exist_ok=True)
    return fit(launched(config), config, data, out, objective=objective)


def launched(config: TrainConfig) -> Fabric:
    return launch_fabric("cpu", config.precision)


def interrupted(
    config: TrainConfig, data: Path, out: Path, before_step: int, objective: Objective | None = None
) -> None:
    """Train until the process is ended before it takes this step."""
    take = loop.step

    def step(fabric: Fabric, config: TrainConfig, state: State, pair: Any) -> Tensor:
        if state.step == before_step:
            raise KeyboardInterrupt
        return take(fabric, config, state, pair)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "step", step)
        with pytest.raises(KeyboardInterrupt):
            trained(config, data, out, objective)


def command(config: TrainConfig, data: Path, out: Path, **changes: object) -> list[str]:
    """Return the command line that trains with a configuration; changes are options by name."""
    settings = asdict(config) | {"data": data, "out": out, "threads": 1} | changes
    options = (_option(f"--{name.replace('_', '-')}", value) for name, value in settings.items())
    return [sys.executable, "-m", "models.train", *(part for option in options for part in option)]


def _option(name: str, value: object) -> list[str]:
    return [name if value else name.replace("--", "--no-")] if isinstance(value, bool) else [name, str(value)]


def contents(state: State) -> dict[str, Any]:
    """Return everything in a state as a flat mapping by name."""
    parts: dict[str, Any] = {
        name: getattr(state, name).state_dict() for name in ("network", "average", "optimizer", "objective")
    }
    return flat({**parts, "step": state.step, "best": state.best})


def flat(tree: Any, name: str = "") -> dict[str, Any]:
    if isinstance(tree, dict | list | tuple):
        items = tree.items() if isinstance(tree, dict) else enumerate(tree)
        return {path: leaf for key, part in items for path, leaf in flat(part, f"{name}/{key}").items()}
    return {name: tree}


def assert_same(first: State, second: State) -> None:
    ours, theirs = contents(first), contents(second)
    assert ours.keys() == theirs.keys()
    assert len(ours) > 100
    for name, value in ours.items():
        same = torch.equal(value, theirs[name]) if isinstance(value, Tensor) else value == theirs[name]
        assert same, name


def curve(out: Path) -> list[dict[str, str]]:
    with (out / "curve.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def rank(number: int, world: int) -> Any:
    return SimpleNamespace(global_rank=number, world_size=world)


def a_pair() -> Any:
    return batch_of(rank(0, 1), SIX_STEPS, small_world(), 0)


class Gained(Objective):
    """A loss with its own parameter and statistic."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))
        self.register_buffer("brightness", torch.zeros(()))

    def forward(self, network: Any, config: TrainConfig, step: int, pair: RainyPair) -> dict[str, Tensor]:
        self.brightness.lerp_(pair.rainy.mean(), 0.5)
        error = self.gain * network(pair.rainy) - pair.clean + self.brightness
        return {"squared": error.square().mean()}

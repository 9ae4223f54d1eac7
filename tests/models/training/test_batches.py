from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import torch

from models.training.batches import Batches, batch_of
from models.training.config import TrainConfig
from tests.support.worlds.rainy import small_world

CONFIG = TrainConfig(preset="student-tiny", steps=10, batch=2, crop=32, finish=0.2)
ONE: Any = SimpleNamespace(global_rank=0, world_size=1)


def test_batches_rendered_ahead_are_those_of_their_steps():
    world = small_world()
    with Batches(ONE, CONFIG, world) as batches:
        for number in (0, 1, 2, 7, 8, 3):  # also where the next step is not the one that was expected
            assert torch.equal(batches.take(number).rainy, batch_of(ONE, CONFIG, world, number).rainy)


def test_what_fails_while_rendering_ahead_fails_in_the_training():
    world = small_world()
    broken = replace(CONFIG, crop=32)
    with Batches(ONE, broken, world) as batches:
        batches.take(0)
        object.__setattr__(broken, "recipe", "snow")
        batches.take(1)
        try:
            batches.take(2)
        except KeyError as error:
            assert "snow" in str(error)
        else:
            raise AssertionError("an error in the thread was lost")

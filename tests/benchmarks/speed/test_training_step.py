from __future__ import annotations

import torch

from benchmarks.speed.training_step import AHEAD, BARE, IN_TURN, Training, measure, new_training
from models.training.config import TrainConfig
from tests.support.worlds.rainy import small_world

CONFIG = TrainConfig(preset="student-tiny", batch=2, crop=32)


def training() -> Training:
    return new_training(CONFIG, small_world())


def test_the_loops_take_the_batches_of_their_steps():
    began = training()
    for loop, first, then in ((BARE, 0, 0), (AHEAD, 0, 1), (IN_TURN, 0, 1)):
        with began.batches(loop) as take:
            for number, expected in ((0, first), (1, then)):
                assert torch.equal(take(number).rainy, began.render(expected).rainy)


def test_a_row_per_loop_with_ratios_to_the_bare_one():
    rows = {row.loop: row for row in measure(training(), seconds=0.0, repeats=2)}
    assert set(rows) == {BARE, AHEAD, IN_TURN}
    assert rows[BARE].ratio_to_bare == 1
    assert all(row.patches_per_second > 0 and row.repeats == 2 for row in rows.values())

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from models.training.batches import Batches, batch_of, has_spare_core
from models.training.config import TrainConfig
from tests.support.worlds.rainy import small_world
from tests.support.worlds.trainings import SIX_STEPS, rank

CONFIG = TrainConfig(preset="student-tiny", steps=10, batch=2, crop=32, finish=0.2)
ONE: Any = SimpleNamespace(global_rank=0, world_size=1)


def test_batches_rendered_ahead_are_those_of_their_steps():
    world = small_world()
    with Batches(ONE, CONFIG, world, ahead=True) as batches:
        for number in (0, 1, 2, 7, 8, 3):  # also if the next step is not the expected one
            assert torch.equal(batches.take(number).rainy, batch_of(ONE, CONFIG, world, number).rainy)


def test_batches_after_a_change_of_shares_have_the_new_ones():
    world = small_world()
    dry = dict.fromkeys(("recorded", "bank", "procedural", "both", "drops", "faint"), 0.0)
    with Batches(ONE, replace(CONFIG, batch=8), world, ahead=True) as batches:
        assert batches.take(0).streaks.any()
        pair = batches.take(1, dry)  # rendered ahead with the old shares
        assert not pair.streaks.any()
        assert not batches.take(2, dry).streaks.any()


def test_a_failure_while_rendering_ahead_is_raised_in_the_training(monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments: object) -> object:
        raise MemoryError("no room for a batch")

    with Batches(ONE, CONFIG, small_world(), ahead=True) as batches:
        monkeypatch.setattr("models.training.batches.training_pairs", fails)
        batches._ahead = (1, batches._thread.submit(batch_of, *batches._source, 1))
        with pytest.raises(MemoryError, match="no room for a batch"):
            batches.take(1)


def test_rendering_ahead_leaves_the_cast_weights_of_a_step_alone():
    """All threads share autocast's cache: if it is emptied during a step, gradients are rounded differently."""
    world, weight = small_world(), torch.randn(8, 8, requires_grad=True)
    camera = replace(CONFIG, recipe="none-clutter", batch=16)

    def gradient(renders: bool) -> torch.Tensor:
        with Batches(ONE, camera, world) as batches, torch.autocast("cpu", torch.bfloat16):
            total = weight @ weight
            if renders:
                batches._thread.submit(batch_of, ONE, camera, world, 0).result()
            total = total + weight @ total
        return torch.autograd.grad(total.float().sum(), weight)[0]

    torch.testing.assert_close(gradient(renders=True), gradient(renders=False), rtol=0, atol=0)


def test_batches_are_the_same_whenever_asked_for_and_split_over_ranks():
    world = small_world()
    config = replace(SIX_STEPS, recipe="light", batch=4)
    whole = batch_of(rank(0, 1), config, world, 3)
    halves = [batch_of(rank(number, 2), replace(config, batch=2), world, 3) for number in (0, 1)]
    assert torch.equal(torch.cat([half.rainy for half in halves]), whole.rainy)
    assert torch.equal(batch_of(rank(0, 1), config, world, 3).rainy, whole.rainy)
    assert not torch.equal(batch_of(rank(0, 1), config, world, 4).rainy, whole.rainy)


def test_the_last_part_has_large_crops():
    config = replace(SIX_STEPS, steps=10, finish=0.2, batch=8)
    world = small_world()
    sizes = [tuple(batch_of(rank(0, 1), config, world, step).rainy.shape) for step in (7, 8)]
    assert sizes == [(8, 3, 32, 32), (2, 3, 64, 64)]


@pytest.mark.parametrize(
    ("threads", "device", "spare"), [(2, "cpu", False), (1, "cpu", True), (2, "cuda", True)]
)
def test_a_core_is_spare_where_steps_do_not_use_it(
    monkeypatch: pytest.MonkeyPatch, threads: int, device: str, spare: bool
):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0, 1}, raising=False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert has_spare_core(torch.device(device)) is spare


def test_without_a_spare_core_batches_are_rendered_in_turn(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("models.training.batches.has_spare_core", lambda device: False)
    world = small_world()
    with Batches(ONE, CONFIG, world) as batches:
        for number in range(3):
            assert torch.equal(batches.take(number).rainy, batch_of(ONE, CONFIG, world, number).rainy)
            assert batches._ahead is None

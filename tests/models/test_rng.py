from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from models.rng import SampleRng
from tests.support.worlds.rainy import sample_rng

MANY = 20_000


def correlation(first: Tensor, second: Tensor) -> float:
    return torch.corrcoef(torch.stack((first.double(), second.double())))[0, 1].item()


def test_uniform_numbers_are_uniform():
    drawn = sample_rng(0, 50).uniform(shape=(MANY,)).flatten().double()
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.002)
    assert drawn.var().item() == pytest.approx(1 / 12, abs=0.001)
    shares = torch.histc(drawn, 20, 0, 1) / len(drawn)
    torch.testing.assert_close(shares, torch.full_like(shares, 0.05), atol=0.002, rtol=0)


def test_neighbouring_samples_positions_draws_and_seeds_are_unrelated():
    samples = sample_rng(0, MANY)
    first, second = samples.uniform(), samples.uniform()
    positions = sample_rng(3, 4).uniform(shape=(MANY,))[0]
    other_seed = sample_rng(0, MANY, seed=2).uniform()
    pairs = [(first[1:], first[:-1]), (first, second), (positions[1:], positions[:-1]), (first, other_seed)]
    assert max(abs(correlation(*pair)) for pair in pairs) < 4 / math.sqrt(MANY)


def test_numbers_depend_on_seed_sample_and_order_alone():
    together, alone = sample_rng(0, 8), sample_rng(5, 6)
    for shape in ((), (3, 4), (1,)):
        assert torch.equal(together.uniform(shape=shape)[5:6], alone.uniform(shape=shape))


def test_repeated_draws_differ():
    stream = sample_rng(0, 4)
    assert not torch.equal(stream.uniform(), stream.uniform())


def test_bounds_of_uniform_and_log_uniform():
    stream = sample_rng(0, MANY)
    flat, log = stream.uniform(-2.0, 3.0), stream.log_uniform(0.5, 8.0)
    assert flat.min() >= -2
    assert flat.max() < 3
    assert log.min() >= 0.4999
    assert log.max() < 8.001
    assert log.log2().mean().item() == pytest.approx(1.0, abs=0.05)


def test_integers_take_every_value_below_the_count_evenly():
    counts = torch.bincount(sample_rng(0, MANY).integer(7), minlength=7)
    assert len(counts) == 7
    assert counts.min() > 0.9 * MANY / 7


def test_integers_below_a_count_of_each_sample():
    limits = torch.arange(MANY) % 5 + 1
    numbers = sample_rng(0, MANY).integer(limits)
    assert numbers.dtype == torch.int64
    assert numbers.min() == 0
    assert (numbers < limits).all()
    assert (numbers[limits == 1] == 0).all()
    assert (numbers[limits == 5] == 4).any()


def test_normal_numbers_are_normal():
    drawn = sample_rng(0, 10).normal(shape=(MANY,)).flatten().double()
    assert torch.isfinite(drawn).all()
    assert drawn.mean().item() == pytest.approx(0, abs=0.01)
    assert drawn.std().item() == pytest.approx(1, abs=0.01)
    assert drawn.pow(4).mean().item() == pytest.approx(3, abs=0.1)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_chance(probability):
    share = sample_rng(0, MANY).chance(probability).double().mean().item()
    assert share == pytest.approx(probability, abs=0.015 if 0 < probability < 1 else 0)


def test_a_branch_is_unrelated_to_its_stem_and_to_other_branches():
    everyone = torch.ones(MANY, dtype=torch.bool)
    stem = sample_rng(0, MANY)
    first, second = stem.subset(everyone), stem.subset(everyone)
    numbers = [stream.uniform() for stream in (stem, first, second)]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert abs(correlation(numbers[one], numbers[other])) < 4 / math.sqrt(MANY)


def test_a_branch_does_not_see_who_else_was_chosen():
    some = torch.tensor([False, True, False, True])
    alone = torch.tensor([False, False, False, True])
    assert torch.equal(sample_rng(0, 4).subset(some).uniform()[1:], sample_rng(0, 4).subset(alone).uniform())


def test_draws_of_a_branch_do_not_change_its_stem():
    used, unused = sample_rng(0, 4), sample_rng(0, 4)
    everyone = torch.ones(4, dtype=torch.bool)
    used.subset(everyone).normal(shape=(5,))
    unused.subset(everyone)
    assert torch.equal(used.uniform(), unused.uniform())


def test_a_branch_for_nobody_draws_nothing():
    nobody = sample_rng(0, 4).subset(torch.zeros(4, dtype=torch.bool))
    assert nobody.batch == 0
    assert nobody.uniform(shape=(2,)).shape == (0, 2)


def test_large_seeds_and_samples_do_not_overflow():
    drawn = SampleRng(2**40 + 3, torch.tensor([0, 2**62])).uniform(shape=(100,))
    assert 0.4 < drawn[1].mean() < 0.6

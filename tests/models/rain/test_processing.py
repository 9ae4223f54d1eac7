"""Processing of both sides of a pair: alike on both, and independent of the rest of the batch."""

from __future__ import annotations

import pytest
import torch

from models.pairs import RainyPair
from models.rain import processing
from models.rain.processing import process
from models.rng import SampleRng
from tests.support.samples.students import random_pictures

STEPS = ("CONTRASTED", "ENLARGED", "SHARPENED")


def pair_of(count: int) -> RainyPair:
    clean = random_pictures(count, 3, 32, 40)
    streaks = torch.zeros(count, 1, 32, 40)
    streaks[:, :, :, 20] = 0.5
    return RainyPair((clean + streaks).clamp(0, 1), clean, streaks)


def rng(*samples: int) -> SampleRng:
    return SampleRng(7, torch.tensor(samples))


@pytest.fixture(params=STEPS)
def only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Apply one step to all samples, and no other step."""
    for step in STEPS:
        monkeypatch.setattr(processing, step, float(step == request.param))
    return str(request.param)


@pytest.mark.usefixtures("only")
def test_every_step_changes_both_sides_and_keeps_the_range():
    before = pair_of(8)
    after = process(rng(*range(8)), before)
    for side in ("rainy", "clean"):
        old, new = getattr(before, side), getattr(after, side)
        assert new.shape == old.shape
        assert all(not torch.equal(*each) for each in zip(old, new, strict=True))
        assert new.min() >= 0
        assert new.max() <= 1


@pytest.mark.usefixtures("only")
def test_a_photograph_without_rain_stays_one_without_rain():
    clean = random_pictures(8, 3, 32, 40)
    after = process(rng(*range(8)), RainyPair(clean, clean, torch.zeros(8, 1, 32, 40)))
    assert torch.equal(after.rainy, after.clean)
    assert not after.streaks.any()


def test_what_happens_to_a_sample_does_not_depend_on_its_batch():
    pair = pair_of(12)
    together = process(rng(*range(12)), pair)
    for number in range(12):
        alone = process(rng(number), RainyPair(*(part[number : number + 1] for part in vars_of(pair))))
        for one, all_of in zip(vars_of(alone), vars_of(together), strict=True):
            torch.testing.assert_close(one[0], all_of[number])


def test_many_samples_remain_as_they_are():
    pair = pair_of(64)
    after = process(rng(*range(64)), pair)
    same = sum(torch.equal(*each) for each in zip(pair.rainy, after.rainy, strict=True))
    assert 10 < same < 40


def test_streaks_are_enlarged_with_the_picture(monkeypatch: pytest.MonkeyPatch):
    for step in STEPS:
        monkeypatch.setattr(processing, step, float(step == "ENLARGED"))
    clean, streaks = torch.zeros(6, 3, 64, 64), torch.zeros(6, 1, 64, 64)
    streaks[..., 16:48] = 0.5
    after = process(rng(*range(6)), RainyPair(clean + streaks, clean, streaks))
    torch.testing.assert_close(after.rainy, after.streaks.expand(-1, 3, -1, -1))
    assert (
        after.streaks.mean((1, 2, 3)) > 0.26
    ).sum() >= 4  # a larger part of the picture than the 0.25 before


def vars_of(pair: RainyPair) -> tuple[torch.Tensor, ...]:
    return pair.rainy, pair.clean, pair.streaks

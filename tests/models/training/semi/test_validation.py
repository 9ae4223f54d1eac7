from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.evaluation.validation import CLEAN_CEILING, ValidationSet, mean_psnr_y
from models.pairs import RainyPair
from models.training.semi.validation import SemiScore, TemporalScore, score
from tests.support.samples.networks import rainy_pair
from tests.support.worlds.semi import real_rain

PAIRS = ValidationSet(*([rainy_pair(48, 56)],) * 6)


class Darker(nn.Module):
    def forward(self, rainy: Tensor) -> Tensor:
        return rainy - 0.1


def test_real_streaks_and_temporal_backgrounds_count_where_there_are_any():
    without, with_stills = (
        score(nn.Identity(), PAIRS, real_rain(with_targets=each)) for each in (False, True)
    )
    assert isinstance(with_stills, TemporalScore)
    assert not isinstance(without, TemporalScore)
    assert 10 < with_stills.temporal < 20  # noise against noise, half trusted
    assert without.rerained == with_stills.rerained
    assert with_stills.overall < without.overall
    assert score(Darker(), PAIRS, real_rain()).rerained != without.rerained


def test_a_temporal_background_counts_only_where_it_is_trusted():
    known = real_rain(with_targets=True)
    stills = known.held_out_temporal
    assert stills is not None

    def temporal(trust: int) -> float:
        confidence = replace(stills.confidence, pixels=torch.full_like(stills.confidence.pixels, trust))
        data = replace(known, held_out_temporal=replace(stills, confidence=confidence))
        found = score(Darker(), PAIRS, data)
        assert isinstance(found, TemporalScore)
        return found.temporal

    assert temporal(0) == CLEAN_CEILING  # the output of the network is ignored
    assert temporal(0) > temporal(128) > temporal(255)
    whole = [stills.whole(number)[:2] for number in range(len(stills))]
    pairs = [RainyPair(rainy, target, target[:, :1]) for rainy, target in whole]
    assert temporal(255) == mean_psnr_y(Darker(), pairs)


def test_real_rain_counts_as_much_as_rendered_rain():
    even = SemiScore(light=30, heavy=30, fine=30, faint=30, drops=20, none=50, rerained=30)
    assert even.overall == pytest.approx(32.5)
    assert SemiScore(34, 30, 30, 30, 20, 50, 30).overall == pytest.approx(33.0)
    assert SemiScore(30, 30, 30, 30, 20, 50, 31).overall == pytest.approx(33.0)
    assert TemporalScore(30, 30, 30, 30, 20, 50, 30, temporal=31).overall == pytest.approx(32.75)


def test_the_same_pairs_are_rained_on_each_time():
    first, second = (score(Darker(), PAIRS, real_rain()) for _ in range(2))
    assert first.rerained == second.rerained
    assert torch.isfinite(torch.tensor(first.rerained))

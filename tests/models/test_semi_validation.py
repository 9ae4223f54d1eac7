from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models.semi_validation import SemiScore, TemporalScore, score
from models.validation import ValidationSet
from tests.networks import rainy_pair
from tests.semi_worlds import real_rain

PAIRS = ValidationSet(*([rainy_pair(48, 56)],) * 4)


class Darker(nn.Module):
    def forward(self, rainy: Tensor) -> Tensor:
        return rainy - 0.1


def test_real_streaks_and_temporal_backgrounds_count_where_there_are_any():
    without, with_stills = (
        score(nn.Identity(), PAIRS, real_rain(with_targets=each)) for each in (False, True)
    )
    assert isinstance(with_stills, TemporalScore)
    assert not isinstance(without, TemporalScore)
    assert 4 < with_stills.temporal < 15  # noise against noise
    assert without.rerained == with_stills.rerained
    assert with_stills.overall < without.overall
    assert score(Darker(), PAIRS, real_rain()).rerained != without.rerained


def test_real_rain_counts_as_much_as_rendered_rain():
    even = SemiScore(light=30, heavy=30, fine=30, none=50, rerained=30)
    assert even.overall == pytest.approx(32.5)
    assert SemiScore(33, 30, 30, 50, 30).overall == pytest.approx(33.0)
    assert SemiScore(30, 30, 30, 50, 31).overall == pytest.approx(33.0)
    assert TemporalScore(30, 30, 30, 50, 30, temporal=31).overall == pytest.approx(32.75)


def test_the_same_pairs_are_rained_on_each_time():
    first, second = (score(Darker(), PAIRS, real_rain()) for _ in range(2))
    assert first.rerained == second.rerained
    assert torch.isfinite(torch.tensor(first.rerained))

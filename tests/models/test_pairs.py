from __future__ import annotations

import torch

from models.pairs import FAINTEST_RAIN, RainyPair


def pair(streaks: torch.Tensor) -> RainyPair:
    clean = torch.full((len(streaks), 3, *streaks.shape[-2:]), 0.5)
    return RainyPair((clean + streaks).clamp(0, 1), clean, streaks)


def test_it_rains_where_the_streak_is_above_its_own_photographs_mean():
    streaks = torch.zeros(2, 1, 4, 4)
    streaks[0, 0, 1] = 0.8  # mean 0.2
    streaks[0, 0, 2] = 0.1
    streaks[1, 0, :, 3] = 0.1  # below the other photograph's mean
    expected = torch.zeros(2, 1, 4, 4)
    expected[0, 0, 1] = 1
    expected[1, 0, :, 3] = 1
    torch.testing.assert_close(pair(streaks).rain_mask, expected)


def test_faint_streaks_are_not_rain():
    streaks = torch.zeros(2, 1, 4, 4)
    streaks[0, 0, 1, 1] = FAINTEST_RAIN
    assert pair(streaks).rain_mask.sum() == 0

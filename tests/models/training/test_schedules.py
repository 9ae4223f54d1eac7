from __future__ import annotations

from itertools import pairwise

import pytest

from models.training.schedules import cosine_rate, ema_decay


def test_learning_rate_warms_up_stays_and_falls_to_nothing():
    rates = [cosine_rate(2e-3, step, 1000, warm_up=100, cool_down=0.3) for step in range(1001)]
    assert rates[0] == pytest.approx(2e-3 / 100)
    assert all(later > earlier for earlier, later in pairwise(rates[:100]))
    assert set(rates[99:701]) == {2e-3}
    assert all(later < earlier for earlier, later in pairwise(rates[701:1001]))
    assert rates[850] == pytest.approx(1e-3)
    assert rates[1000] == pytest.approx(0, abs=1e-9)


def test_the_average_forgets_its_start():
    decays = [ema_decay(0.999, step) for step in range(20_000)]
    assert decays[0] == pytest.approx(0.1)
    assert decays == sorted(decays)
    assert decays[90] == pytest.approx(0.91)
    assert decays[-1] == 0.999

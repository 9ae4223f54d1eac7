from __future__ import annotations

import pytest

from tasks.readable import duration, percentage, rate


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (4.24, "4.2 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (93_840, "26 h 04 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0"), (0.034, "0.034"), (0.97, "1.0"), (2.1, "2.1"), (12_345.67, "12,345.7")]
)
def test_rates_are_short(value, text):
    assert rate(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.0, "0.0 %"), (0.0004, "less than 0.1 %"), (0.0006, "0.1 %"), (0.004, "0.4 %"), (0.123, "12 %")],
)
def test_small_shares_are_not_shown_as_nothing(share, text):
    assert percentage(share) == text

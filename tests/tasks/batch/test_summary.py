from __future__ import annotations

import pytest

from tasks.batch.summary import Counts, duration, rate
from tests.report_samples import summary


def counts(derained: int, done_before: int = 0) -> Counts:
    return Counts(listed=2000, skipped=0, done_before=done_before, derained=derained, rejected=0, pending=0)


def test_the_line_of_a_run():
    line = summary(counts(86)).line()
    assert line == "86 derained, 0 rejected, 0 pending in 41 s (2.1 images/s, 3.4 MP/s)"


def test_the_line_of_a_run_that_found_nothing_to_do():
    line = summary(counts(0, done_before=1234), pixels=0, wall_seconds=2.04).line()
    assert line == "0 derained, 0 rejected, 0 pending in 2.0 s; 1,234 done before"


def test_rates():
    run = summary(counts(90), pixels=45_000_000, wall_seconds=30.0)
    assert (run.images_per_second, run.megapixels_per_second) == (3.0, 1.5)


def test_a_run_without_wall_time_has_no_rate():
    run = summary(counts(90), wall_seconds=0.0)
    assert (run.images_per_second, run.megapixels_per_second) == (0.0, 0.0)


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

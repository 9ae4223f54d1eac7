from __future__ import annotations

from tasks.batch.summary import Counts
from tests.support.samples.reports import summary


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

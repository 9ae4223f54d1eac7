from __future__ import annotations

from collections import Counter

from infra.storage.listing import LeftOut
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


def test_the_line_of_a_run_accounts_for_every_object():
    left_out = LeftOut(Counter({".heic": 3, "no suffix": 1}), Counter({"unreadable": 1}), stopped_at=2000)
    done = Counts(
        listed=2000, skipped=4, done_before=1900, derained=86, rejected=8, pending=6, left_out=left_out,
        rejected_for={"zero bytes": 1, "truncated JPEG": 7}, rejected_before={"zero bytes": 2},
    )  # fmt: skip
    assert summary(done).line() == (
        "86 derained, 8 rejected (7 truncated JPEG, 1 zero bytes), 6 pending in 41 s (2.1 images/s, 3.4 MP/s);"
        " 1,898 done before, 2 rejected before (2 zero bytes), 4 left out (3 .heic, 1 no suffix),"
        " 1 folder not entered (1 unreadable), listed up to --limit 2,000,"
        " .heic not read (convert to JPEG or PNG, for example with heif-convert)"
    )


def test_rates():
    run = summary(counts(90), pixels=45_000_000, wall_seconds=30.0)
    assert (run.images_per_second, run.megapixels_per_second) == (3.0, 1.5)


def test_a_run_without_wall_time_has_no_rate():
    run = summary(counts(90), wall_seconds=0.0)
    assert (run.images_per_second, run.megapixels_per_second) == (0.0, 0.0)

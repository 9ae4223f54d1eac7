"""Counting and adding the results of a run."""

from __future__ import annotations

from dataclasses import replace

from infra.records import DerainRecord
from tasks.batch.shards import rejected_record
from tasks.waves.stage import Outcome
from tasks.waves.tally import Tally
from tasks.workers.timing import Phase, ShardClock
from tasks.workers.unfinished import Unfinished
from tests.support.samples.records import record, ref
from tests.support.samples.shards import JOB, result_of


def outcome_of(row: DerainRecord) -> Outcome:
    return Outcome((row.height or 0) * (row.width or 0), row.reason)


def test_a_tally_keeps_a_few_reasons_and_counts_all() -> None:
    tally = Tally()
    rejected = rejected_record(JOB, ref("bad"), "zero bytes")
    for _ in range(3):
        tally.add(result_of(record("a"), rejected, unfinished=15), outcome_of)
    assert (tally.done, tally.rejected, tally.unfinished_count, len(tally.unfinished)) == (3, 3, 45, 20)
    assert (tally.pixels, tally.reasons) == (3 * 16 * 24, {"zero bytes": 3})


def test_withdrawn_items_are_pending_with_their_reason() -> None:
    tally = Tally()
    tally.add(result_of(record("a"), record("b")), outcome_of)
    tally.withdraw([Unfinished("b", "disk full")])
    assert (tally.done, tally.recorded, tally.images) == (1, 1, 2)
    assert tally.pending_line(1).endswith("(b: disk full)")


def test_the_tallies_of_two_sources_add_up() -> None:
    first, second = Tally(stopped_by=None), Tally(stopped_by="token lapsed", has_ended_early=True)
    first.add(result_of(record("a"), unfinished=2), outcome_of)
    second.add(result_of(record("b"), unfinished=30), outcome_of)
    both = first + second
    assert (both.done, both.unfinished_count, len(both.unfinished)) == (2, 32, 20)
    assert (both.stopped_by, both.has_ended_early, both.image_seconds) == ("token lapsed", True, 1.0)
    assert first.done == 1


def test_the_phases_of_shards_add_up() -> None:
    tally, clock = Tally(), ShardClock()
    with clock.phase(Phase.DERAIN):
        sum(range(100_000))
    timing = clock.read()
    for _ in range(2):
        tally.add(replace(result_of(record("a")), timing=timing), outcome_of)
    tally.add(result_of(record("b")), outcome_of)  # given up: nothing was measured
    assert tally.phase_seconds["derain"] == 2 * timing.cpu_of[Phase.DERAIN] > 0
    assert (tally.snapshot() + tally).phase_seconds["derain"] == 4 * timing.cpu_of[Phase.DERAIN]

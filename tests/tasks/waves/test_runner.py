"""The runner of all stages: when it sends shards, records rows and stops."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from infra.errors import AccessDenied
from infra.storage.lease import LeaseLost
from tasks.batch.shards import ShardJob
from tasks.waves import runner
from tasks.waves.runner import Pace, run_stage
from tasks.waves.stage import Finished, Outcome, Shard
from tasks.waves.tally import Tally
from tasks.workers.unfinished import Unfinished
from tests.support.interrupts import InterruptedTwice
from tests.support.samples.shards import JOB, Answer, Workers, death, result_of, shard_of


@dataclass
class Letters:
    """A stage whose items are letters, and which records all events in order."""

    keys: str
    happened: list[str] = field(default_factory=list)
    in_order: bool = False
    fails: dict[int, BaseException] = field(default_factory=dict)
    wave_name: str = "letters"
    job: ShardJob = JOB

    def shards(self, workers: int) -> Iterator[Shard]:
        for index, key in enumerate(self.keys):
            yield shard_of(key, index=index)

    def outcome(self, row: Any) -> Outcome:
        return Outcome(1, row.reason)

    def commit(self, finished: Sequence[Finished]) -> Sequence[Unfinished]:
        number = sum(line.startswith("commit") for line in self.happened)
        self.happened.append(f"commit {''.join(item.key for part in finished for item in part.shard.items)}")
        if number in self.fails:
            raise self.fails.pop(number)
        return ()


class Lease:
    """A lease that this run always holds."""

    is_abandoned = False

    def check(self) -> None:
        return

    def abandon(self) -> None:
        self.is_abandoned = True


class Sending(Workers):
    """Workers that record the shards that they receive."""

    def __init__(self, happened: list[str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.happened = happened

    def submit(self, function: Any, *arguments: Any) -> Any:
        answer = super().submit(function, *arguments)
        self.happened.append(f"send {self.tried[-1]}")
        return answer


def run(stage: Letters, fails: Mapping[str, Any] | None = None, **pace: Any) -> Tally:
    chosen = {"wave_shards": 2, "stall_seconds": 0.05, **pace}
    return run_stage(stage, Lease(), Sending(stage.happened, fails), Pace(**chosen), lambda tally: None)


def test_the_next_wave_is_under_way_before_one_is_recorded() -> None:
    stage = Letters("abcde")
    assert run(stage).done == 5
    assert stage.happened.index("send d") < stage.happened.index("commit ab")
    assert [line for line in stage.happened if line.startswith("commit")] == [
        "commit ab",
        "commit cd",
        "commit e",
    ]


def test_more_is_sent_once_more_workers_are_there() -> None:
    stage = Letters("abcdefghijkl")

    class Joined(Sending):
        def results(self, answers: Sequence[Any], seconds: float) -> dict[Any, Any]:
            self.workers = 3
            return {}

    run_stage(stage, Lease(), Joined(stage.happened), Pace(1, 5.0), lambda tally: None)
    assert stage.happened[:2] == ["send a", "send b"]
    (first, *_) = [place for place, line in enumerate(stage.happened) if line.startswith("commit")]
    assert stage.happened[first] == "commit abc"


def test_no_more_is_sent_once_as_many_shards_as_a_wave_brought_no_rows() -> None:
    stage = Letters("abcdefg")
    tally = run(stage, dict.fromkeys("abcdefg", result_of(unfinished=1)))
    assert (tally.recorded, tally.unfinished_count, tally.has_ended_early) == (0, 2, True)
    assert "send g" not in stage.happened


class OneShard(Letters):
    """A stage with all its items in one shard."""

    def shards(self, workers: int) -> Iterator[Shard]:
        yield shard_of(*self.keys)


class Failing(Sending):
    """Workers whose time is up once they have given up on the first item of a shard."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        super().submit(function, *arguments)
        (shard,) = arguments
        return Answer(replace(result_of(unfinished=1), left=len(shard.items) - 1))


def test_items_that_were_not_begun_in_time_do_not_hide_that_storage_fails() -> None:
    stage = OneShard("abcdefgh")
    tally = run_stage(stage, Lease(), Failing(stage.happened), Pace(2, 5.0), lambda tally: None)
    assert (tally.unfinished_count, tally.has_ended_early) == (2, True)
    assert [line for line in stage.happened if line.startswith("send")] == [
        "send abcdefgh",
        "send bcdefgh",
    ]


def test_shards_whose_items_alone_are_at_fault_end_nothing() -> None:
    deleted = result_of(unfinished=2, of_one_object=True)
    tally = run(Letters("abcdefg"), dict.fromkeys("abcdef", deleted))
    assert (tally.done, tally.unfinished_count, tally.has_ended_early) == (1, 12, False)


def test_shards_at_fault_between_those_of_deleted_items_end_the_run() -> None:
    stage, deleted = Letters("abcdefghij"), result_of(unfinished=1, of_one_object=True)
    fails = dict.fromkeys("abcdefghij", deleted) | dict.fromkeys("bd", result_of(unfinished=1))
    tally = run(stage, fails)
    assert (tally.recorded, tally.unfinished_count, tally.has_ended_early) == (0, 4, True)


def test_one_shard_without_rows_ends_nothing() -> None:
    tally = run(Letters("abcde"), {"a": result_of(unfinished=1)})
    assert (tally.done, tally.unfinished_count, tally.has_ended_early) == (4, 1, False)


def test_once_workers_hang_what_the_others_did_is_recorded_and_no_more_is_sent() -> None:
    stage = Letters("hbcdefgijk")
    tally = run(stage, {"h": None, "d": None, "e": None, "f": None})
    assert (tally.done, tally.unfinished_count, tally.has_ended_early) == (2, 4, True)
    assert "send k" not in stage.happened


def test_suspects_wait_until_all_other_shards_are_done() -> None:
    stage = Letters("xabcd")
    tally = run(stage, {"x": death()})
    assert (tally.done, tally.rejected) == (4, 1)
    assert stage.happened[-3:] == ["send x", "send x", "commit x"] or stage.happened[-1] == "commit x"
    assert stage.happened.index("commit ab") < len(stage.happened) - 3


def test_nothing_to_do_sends_nothing() -> None:
    stage = Letters("")
    assert (run(stage).recorded, stage.happened) == (0, [])


def test_an_ordered_stage_records_nothing_before_what_precedes_it() -> None:
    stage = Letters("xabcd", in_order=True)
    run_stage(stage, Lease(), Reordering(), Pace(3, 5.0), lambda tally: None)
    assert stage.happened == ["commit xabcd"]


@pytest.mark.parametrize(("returned", "recorded"), [(3, []), (5, ["commit xabcd"])])
def test_an_interrupted_ordered_stage_records_nothing_before_what_precedes_it(
    returned: int, recorded: list[str]
) -> None:
    stage = Letters("xabcd", in_order=True)

    def listen(tally: Tally) -> None:
        if tally.done == returned:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stage(stage, Lease(), Reordering(), Pace(3, 5.0), listen)
    assert stage.happened == recorded


class Reordering(Workers):
    """Workers that return x after d."""

    def submit(self, function: Any, *arguments: Any) -> Any:
        answer = super().submit(function, *arguments)
        if self.tried[-1] == "x":
            answer.add_done_callback = lambda call: setattr(self, "bring_back", lambda: call(answer))
        elif self.tried[-1] == "d":
            answer.add_done_callback = lambda call: (call(answer), self.bring_back())
        return answer


@pytest.mark.parametrize("fault", [AccessDenied("token lapsed"), LeaseLost("another run took it over")])
def test_a_commit_that_fails_ends_the_run_and_its_items_count_as_not_done(fault: Exception) -> None:
    stage = Letters("abcdefg", fails={1: fault})
    shown: list[int] = []
    workers = Sending(stage.happened)
    tally = run_stage(stage, Lease(), workers, Pace(2, 0.05), lambda tally: shown.append(tally.done))
    assert (tally.done, tally.stopped_by, tally.has_ended_early) == (2, str(fault), True)
    assert (max(shown), shown[-1]) == (4, 2)


def test_rows_are_recorded_after_some_seconds_although_the_wave_is_not_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "COMMIT_SECONDS", 0.0)
    stage = Letters("abc")
    run(stage, wave_shards=100)
    assert [line for line in stage.happened if line.startswith("commit")] == [
        "commit a",
        "commit b",
        "commit c",
    ]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_an_interrupted_run_records_what_is_back(interrupt: type[BaseException]) -> None:
    stage = Letters("abcdef")

    def listen(tally: Tally) -> None:
        if tally.done == 3:
            raise interrupt

    with pytest.raises(interrupt):
        run_stage(stage, Lease(), Workers(), Pace(100, 1.0), listen)
    assert stage.happened == ["commit abc"]


def test_sigterm_records_what_is_back_too() -> None:
    stage = Letters("abcdef")
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def listen(tally: Tally) -> None:
        if tally.done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        with pytest.raises(SystemExit) as ended:
            run_stage(stage, Lease(), Workers(), Pace(100, 1.0), listen)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (ended.value.code, stage.happened) == (143, ["commit abc"])


def test_a_commit_that_is_interrupted_is_not_begun_again() -> None:
    stage = Letters("abcd", fails={0: KeyboardInterrupt()})
    with pytest.raises(KeyboardInterrupt):
        run(stage)
    assert [line for line in stage.happened if line.startswith("commit")] == ["commit ab"]


def test_a_second_interrupt_during_a_commit_lets_the_lease_expire() -> None:
    """The commit is still running, and another run must not plan without its rows."""
    begun, released = threading.Event(), threading.Event()

    class Slow(Letters):
        def commit(self, finished: Sequence[Finished]) -> Sequence[Unfinished]:
            begun.set()
            released.wait(60)
            return super().commit(finished)

    stage, lease = Slow("abcdef"), Lease()
    with InterruptedTwice().sent_after(begun), pytest.raises(SystemExit):
        run_stage(stage, lease, Workers(), Pace(1, 1.0), lambda tally: None)
    assert lease.is_abandoned
    assert not any(line.startswith("commit") for line in stage.happened)
    released.set()


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Restore Python's own handling of Ctrl-C, which workers of pytest-xdist ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(
    ("sign", "raises"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)], ids=str
)
def test_an_interrupt_waits_for_the_commit_under_way(
    sign: signal.Signals, raises: type[BaseException]
) -> None:
    class Interrupted(Letters):
        def commit(self, finished: Sequence[Finished]) -> Sequence[Unfinished]:
            if not self.happened[-1].startswith("commit"):
                os.kill(os.getpid(), sign)
            super().commit(finished)
            self.happened.append("committed")
            return ()

    stage = Interrupted("abcdef")
    with pytest.raises(raises):
        run(stage)
    assert [line for line in stage.happened if "commit" in line] == ["commit ab", "committed"]

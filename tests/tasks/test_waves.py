"""Waves: what is committed together, and who is to blame for a dead worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from distributed import Client, KilledWorker

from infra.catalog import Catalog
from infra.lease import Lease, LeaseLost, lease_location
from infra.records import Scope
from tasks.exports import Export
from tasks.loaded import StagedModel
from tasks.medium import MediumSpec
from tasks.pending import Shard
from tasks.shards import ShardJob, ShardResult, Unfinished, derain_shard, rejected_record
from tasks.waves import (
    REJECTED_BY_DEATH,
    Finished,
    Quarantine,
    Tally,
    Wave,
    WorkersDie,
    finish_wave,
    halved,
    run_waves,
)
from tests.samples import record, ref

JOB = ShardJob(
    Scope("/rainy", "/derained", "png"),
    MediumSpec("/rainy", "/derained", Export("png"), 1000),
    StagedModel("tiny", "1", "digest", "/models"),
    "run-1",
    "cpu",
    1000,
)


def _shard(*keys: str, index: int = 0, replace: bool = False) -> Shard:
    return Shard(index, tuple(ref(key) for key in keys), replace)


class _Answer:
    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def result(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class _Client:
    """Workers that die of some images, and of anything once they are `broken`."""

    def __init__(self, deadly: set[str], broken: bool = False) -> None:
        self.deadly = deadly
        self.broken = broken
        self.tried: list[str] = []

    def submit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> _Answer:
        import pickle

        if len(arguments) == 1:  # packed, for a scheduler that has none of our code
            function, arguments = pickle.loads(arguments[0])
        if function is not derain_shard:
            return _Answer(self._death() if self.broken else True)
        keys = [image.key for image in arguments[1].refs]
        self.tried.append("".join(keys))
        if self.broken or self.deadly & set(keys):
            return _Answer(self._death())
        return _Answer(ShardResult(tuple(record(key) for key in keys), (), 0.0))

    def _death(self) -> KilledWorker:
        return KilledWorker("task", None, 2)


def _statuses(finished: Iterator[Finished]) -> dict[str, str]:
    return {row.key: row.status for part in finished for row in part.result.records}


def test_the_one_image_that_kills_is_found_by_halving() -> None:
    client = _Client({"f"})
    found = list(Quarantine(client, JOB, [_shard(*"abcdefgh")]).results())
    assert client.tried == ["abcd", "efgh", "ef", "e", "f", "gh"]
    rows = {row.key: row for part in found for row in part.result.records}
    assert {key for key, row in rows.items() if row.status == "rejected"} == {"f"}
    assert (len(rows), rows["f"].reason, rows["f"].run_id) == (8, REJECTED_BY_DEATH, "run-1")


def test_who_was_only_near_a_dead_worker_is_not_rejected() -> None:
    suspects = [_shard("a"), _shard("b"), _shard("c", "d")]
    statuses = _statuses(Quarantine(_Client({"b", "c"}), JOB, suspects).results())
    assert statuses == {"a": "derained", "b": "rejected", "c": "rejected", "d": "derained"}


def test_workers_that_always_die_blame_no_image() -> None:
    with pytest.raises(WorkersDie, match="even without an image"):
        list(Quarantine(_Client(set(), broken=True), JOB, [_shard("a", "b")]).results())


@pytest.mark.parametrize(("keys", "parts"), [("a", []), ("ab", ["a", "b"]), ("abc", ["a", "bc"])])
def test_halves_hold_every_image_once(keys: str, parts: list[str]) -> None:
    halves = halved(_shard(*keys, index=7, replace=True))
    assert ["".join(image.key for image in half.refs) for half in halves] == parts
    assert all((half.index, half.replace) == (7, True) for half in halves)


class _Results:
    """A wave that has come back already."""

    def __init__(self, *finished: Finished) -> None:
        self._finished = finished

    def results(self) -> Iterator[Finished]:
        yield from self._finished


def _result(*records: Any, unfinished: int = 0) -> ShardResult:
    left = tuple(Unfinished(f"left-{number}", "time-out") for number in range(unfinished))
    return ShardResult(tuple(records), left, 0.5)


def test_a_wave_is_one_commit_and_only_repeated_images_replace_rows(tmp_path: Path) -> None:
    catalog, tally = Catalog(str(tmp_path)), Tally()
    catalog.commit([record("a"), record("b")], replace=False)
    fresh = Finished(_shard("a"), _result(record("a", minute=5), record("c", minute=5)))
    again = Finished(_shard("b", replace=True), _result(record("b", minute=5), unfinished=2))
    with Lease(lease_location(str(tmp_path)), "/derained", "run-1", 30.0) as lease:
        finish_wave.fn(1, _Results(fresh, again), catalog, lease, tally.add)
    minutes = {row["key"]: row["derained_at"].minute for row in catalog.table().to_pylist()}
    assert minutes == {"a": 0, "b": 5, "c": 5}
    assert (tally.derained, tally.unfinished_count, tally.images, tally.image_seconds) == (3, 2, 5, 1.0)


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    with Lease(leases, "/derained", "run-1", 30.0) as lease:
        ours = next(iter(leases.list())).key
        leases.put(ours.replace("000000001", "000000002"), leases.fetch(ours))
        with pytest.raises(LeaseLost, match="another run took it over"):
            finish_wave.fn(1, _Results(Finished(_shard("a"), _result(record("a")))), catalog, lease, print)
    assert catalog.table().num_rows == 0


def test_a_tally_keeps_a_few_reasons_and_counts_all() -> None:
    tally = Tally()
    rejected = rejected_record(JOB, ref("bad"), "zero bytes")
    for _ in range(3):
        tally.add(_result(record("a"), rejected, unfinished=15))
    assert (tally.derained, tally.rejected, tally.unfinished_count, len(tally.unfinished)) == (3, 3, 45, 20)
    assert tally.pixels == 3 * 16 * 24


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens in `run_waves`, in order, without a cluster."""
    happened: list[str] = []

    class Sent:
        def __init__(self, client: object, job: object, shards: list[Shard]) -> None:
            self.keys = "".join(image.key for shard in shards for image in shard.refs)
            self.suspects = [shard for shard in shards if shard.refs[0].key == "x"]
            happened.append(f"send {self.keys}")

    class Alone(Sent):
        def __init__(self, client: object, job: object, shards: list[Shard]) -> None:
            super().__init__(client, job, shards)
            happened[-1] = f"alone {self.keys}"

    monkeypatch.setattr("tasks.waves.Wave", Sent)
    monkeypatch.setattr("tasks.waves.Quarantine", Alone)
    return happened


def _run(keys: str, sent: list[str], fails: str = "") -> None:
    def finish(number: int, wave: Any) -> bool:
        sent.append(f"finish {number} {wave.keys}")
        return wave.keys not in fails.split()

    run_waves(None, JOB, iter([_shard(key) for key in keys]), 2, finish)


def test_the_next_wave_is_under_way_before_one_is_finished(sent: list[str]) -> None:
    _run("abcde", sent)
    assert sent == ["send ab", "send cd", "finish 1 ab", "send e", "finish 2 cd", "finish 3 e"]


def test_no_more_waves_are_sent_once_one_got_nothing_done(sent: list[str]) -> None:
    _run("abcdefgh", sent, fails="ab")
    assert sent == ["send ab", "send cd", "finish 1 ab"]


def test_suspects_wait_until_all_waves_are_through(sent: list[str]) -> None:
    _run("xabcd", sent, fails="xa")
    assert sent[-3:-1] == ["finish 3 d", "alone x"]
    assert sent[-1].startswith("finish")
    assert sent[-1].endswith(" x")
    assert "finish 2 bc" in sent


def test_nothing_to_do_sends_nothing(sent: list[str]) -> None:
    _run("", sent)
    assert sent == []


def test_an_error_of_ours_is_not_taken_for_a_dead_worker(scheduler: str) -> None:
    wrong = ShardJob(JOB.scope, JOB.medium, JOB.model, "run", "no such device", 1000)
    with Client(scheduler) as client:
        wave = Wave(client, wrong, [_shard("a")])
        (finished,) = wave.results()
    assert [image.key for image in finished.result.unfinished] == ["a"]
    assert "models/digest" in finished.result.unfinished[0].reason
    assert not finished.result.records
    assert not wave.suspects

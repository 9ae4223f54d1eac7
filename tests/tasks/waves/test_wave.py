"""Waves: what is committed together, in which order they go, and what becomes of them where nobody answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client as DaskClient
from distributed.client import FutureCancelledError

from infra.catalog import Catalog
from infra.faults import AccessDenied
from infra.lease import Lease, LeaseLost, lease_location
from infra.records import ImageRef
from tasks.batch.shards import rejected_record
from tasks.waves.dispatch import SCHEDULER_GONE, Finished, Workers
from tasks.waves.pending import Shard
from tasks.waves.shard_results import ShardResult, Unfinished
from tasks.waves.wave import Tally, Wave, finish_wave, record_wave, run_waves
from tests.samples import record, ref
from tests.shard_samples import JOB, Client, death, shard_of, workers_of


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
    fresh = Finished(shard_of("a"), _result(record("a", minute=5), record("c", minute=5)))
    again = Finished(shard_of("b", replace=True), _result(record("b", minute=5), unfinished=2))
    with Lease(lease_location(str(tmp_path)), "/derained", "run-1", 30.0) as lease:
        record_wave(_Results(fresh, again), catalog, lease, tally.add)
    minutes = {row["key"]: row["derained_at"].minute for row in catalog.frame().to_dicts()}
    assert minutes == {"a": 0, "b": 5, "c": 5}
    assert (tally.done, tally.unfinished_count, tally.images, tally.image_seconds) == (3, 2, 5, 1.0)


def test_nothing_is_committed_once_the_lease_is_lost(tmp_path: Path) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    with Lease(leases, "/derained", "run-1", 30.0) as lease:
        ours = next(iter(leases.list())).key
        leases.put(ours.replace("000000001", "000000002"), leases.fetch(ours))
        with pytest.raises(LeaseLost, match="another run took it over"):
            record_wave(_Results(Finished(shard_of("a"), _result(record("a")))), catalog, lease, print)
    assert catalog.frame().height == 0


def test_a_wave_that_storage_refuses_is_a_failed_task_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, leases = Catalog(str(tmp_path)), lease_location(str(tmp_path))
    wave = _Results(Finished(shard_of("a"), _result(record("a"))))
    with Lease(leases, "/derained", "run-1", 30.0) as lease, monkeypatch.context() as patch:
        patch.setattr(type(leases), "list", _denied)
        state = finish_wave.fn(1, wave, catalog, lease, print)
    assert state is not None
    assert (state.is_failed(), state.message) == (True, "token lapsed")


def _denied(_: object) -> Iterator[ImageRef]:
    raise AccessDenied("token lapsed")


def test_a_tally_keeps_a_few_reasons_and_counts_all() -> None:
    tally = Tally()
    rejected = rejected_record(JOB, ref("bad"), "zero bytes")
    for _ in range(3):
        tally.add(_result(record("a"), rejected, unfinished=15))
    assert (tally.done, tally.rejected, tally.unfinished_count, len(tally.unfinished)) == (3, 3, 45, 20)
    assert tally.pixels == 3 * 16 * 24


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens in `run_waves`, in order, without a cluster."""
    happened: list[str] = []

    class Sent:
        def __init__(self, workers: object, shards: list[Shard]) -> None:
            self.keys = "".join(image.key for shard in shards for image in shard.refs)
            self.has_stalled = "h" in self.keys
            self.suspects = [shard for shard in shards if shard.refs[0].key == "x"]
            happened.append(f"send {self.keys}")

        def wait_no_more(self) -> None:
            happened.append(f"hurry {self.keys}")

    class Alone(Sent):
        def __init__(self, workers: object, shards: list[Shard]) -> None:
            super().__init__(workers, shards)
            happened[-1] = f"alone {self.keys}"

    monkeypatch.setattr("tasks.waves.wave.Wave", Sent)
    monkeypatch.setattr("tasks.waves.wave.Quarantine", Alone)
    return happened


def _run(keys: str, sent: list[str], fails: str = "") -> None:
    def finish(number: int, wave: Any) -> bool:
        sent.append(f"finish {number} {wave.keys}")
        return wave.keys not in fails.split()

    run_waves(workers_of(None), iter([shard_of(key) for key in keys]), 2, finish)


def test_the_next_wave_is_under_way_before_one_is_finished(sent: list[str]) -> None:
    _run("abcde", sent)
    assert sent == ["send ab", "send cd", "finish 1 ab", "send e", "finish 2 cd", "finish 3 e"]


def test_no_more_waves_are_sent_once_one_got_nothing_done(sent: list[str]) -> None:
    _run("abcdefg", sent, fails="ab")
    assert sent == ["send ab", "send cd", "finish 1 ab"]


def test_once_workers_hang_what_the_others_did_is_recorded_and_no_more_is_sent(sent: list[str]) -> None:
    _run("ahcdefg", sent)
    assert sent == ["send ah", "send cd", "finish 1 ah", "hurry cd", "finish 2 cd"]


def test_suspects_wait_until_all_waves_are_through(sent: list[str]) -> None:
    _run("xabcd", sent, fails="xa")
    assert sent[-3:-1] == ["finish 3 d", "alone x"]
    assert sent[-1].startswith("finish")
    assert sent[-1].endswith(" x")
    assert "finish 2 bc" in sent


def test_nothing_to_do_sends_nothing(sent: list[str]) -> None:
    _run("", sent)
    assert sent == []


def test_a_wave_gives_up_what_does_not_come_back() -> None:
    lost, dead = FutureCancelledError("key", "scheduler-connection-lost"), death()
    client = Client({"c": dead, "d": lost, "e": None, "f": None})
    wave = Wave(
        workers_of(client, stall_seconds=0.01), [shard_of(*keys) for keys in ("ab", "c", "d", "e", "fg")]
    )
    back = {"".join(image.key for image in part.shard.refs): part.result for part in wave.results()}
    assert [row.key for row in back["ab"].records] == ["a", "b"]
    assert wave.suspects == [shard_of("c")]
    assert wave.has_stalled
    left = {image.key: image.reason for result in back.values() for image in result.unfinished}
    assert left.pop("d") == SCHEDULER_GONE
    assert set(left) == set("efg")
    assert all(
        told.startswith("no shard came back for 0.01 s (DERAIN_STALL_SECONDS)") for told in left.values()
    )


def test_a_wave_in_a_hurry_takes_what_is_there() -> None:
    wave = Wave(workers_of(Client({"b": None})), [shard_of("a"), shard_of("b")])
    wave.wait_no_more()
    first, second = wave.results()
    assert ([row.key for row in first.result.records], len(second.result.unfinished)) == (["a"], 1)


def test_an_error_of_ours_is_not_taken_for_a_dead_worker(scheduler: str) -> None:
    wrong = replace(JOB, device="no such device")
    with DaskClient(scheduler) as client:
        wave = Wave(Workers(client, wrong, 60.0), [shard_of("a")])
        (finished,) = wave.results()
    assert [image.key for image in finished.result.unfinished] == ["a"]
    assert "models/digest" in finished.result.unfinished[0].reason
    assert not finished.result.records
    assert not wave.suspects

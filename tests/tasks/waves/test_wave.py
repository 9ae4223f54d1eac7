"""Waves: in which order they go, and what becomes of them where nobody answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from distributed.client import FutureCancelledError

from infra.cluster import connect
from infra.settings import Settings
from tasks.batch.shards import rejected_record
from tasks.waves.dispatch import SCHEDULER_GONE, Workers
from tasks.waves.pending import Shard
from tasks.waves.wave import Tally, Wave, run_waves
from tests.support.samples.records import record, ref
from tests.support.samples.shards import JOB, Client, death, result_of, shard_of, workers_of


def test_a_tally_keeps_a_few_reasons_and_counts_all() -> None:
    tally = Tally()
    rejected = rejected_record(JOB, ref("bad"), "zero bytes")
    for _ in range(3):
        tally.add(result_of(record("a"), rejected, unfinished=15))
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


def test_an_error_of_ours_is_not_taken_for_a_dead_worker(scheduler: dict[str, str]) -> None:
    wrong = replace(JOB, device="no such device")
    with connect(Settings(**scheduler, _env_file=None)) as client:
        wave = Wave(Workers(client, wrong, 60.0), [shard_of("a")])
        (finished,) = wave.results()
    assert [image.key for image in finished.result.unfinished] == ["a"]
    assert "models/digest" in finished.result.unfinished[0].reason
    assert not finished.result.records
    assert not wave.suspects

"""Shards in flight: their outcome if no worker answers, and the search for the cause of a dead worker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from distributed.client import FutureCancelledError

from infra.settings import Settings
from tasks.batch.shards import REJECTED_BY_DEATH
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import SCHEDULER_GONE
from tasks.waves.flight import Flight, Quarantine, WorkersDie
from tasks.waves.stage import Finished, halved
from tests.support.samples.shards import JOB, Workers, death, shard_of


def quarantine(workers: Workers, *shards: str) -> Iterator[Finished]:
    suspects = [shard_of(*keys) for keys in shards]
    results = Quarantine(workers, JOB, suspects, 0.05).results(iter(()))
    return (finished for finished in results if finished is not None)


def statuses(finished: Iterator[Finished]) -> dict[str, str]:
    return {row.key: row.status for part in finished for row in part.result.records}


def test_a_flight_gives_up_what_does_not_come_back() -> None:
    lost, dead = FutureCancelledError("key", "scheduler-connection-lost"), death()
    flight = Flight(Workers({"c": dead, "d": lost, "e": None, "f": None}), JOB, lambda: 5, 0.01)
    back = {
        "".join(image.key for image in part.shard.items): part.result
        for part in flight.results(iter([shard_of(*keys) for keys in ("ab", "c", "d", "e", "fg")]))
        if part is not None
    }
    assert [row.key for row in back["ab"].records] == ["a", "b"]
    assert flight.suspects == [shard_of("c")]
    assert flight.closed_by is not None
    left = {image.key: image.reason for result in back.values() for image in result.unfinished}
    assert left.pop("d") == SCHEDULER_GONE
    assert set(left) == set("efg")
    assert all(
        reason.startswith("no shard came back for 0.01 s (DERAIN_STALL_SECONDS)") for reason in left.values()
    )


def test_no_more_shards_are_sent_once_the_scheduler_is_gone() -> None:
    workers = Workers({"a": FutureCancelledError("key", "gone")})
    parts = list(Flight(workers, JOB, lambda: 1, 0.01).results(iter([shard_of("a"), shard_of("b")])))
    assert ([part.shard for part in parts if part is not None], workers.tried) == ([shard_of("a")], ["a"])


def test_items_that_a_worker_did_not_begin_are_sent_again_before_new_shards() -> None:
    workers = Workers(most=2)
    shards = iter([shard_of(*"abcde", index=0), shard_of("f", index=1)])
    rows = [
        row.key
        for part in Flight(workers, JOB, lambda: 1, 1.0).results(shards)
        for row in part.result.records
    ]
    assert (workers.tried, rows) == (["abcde", "cde", "e", "f"], list("abcdef"))


def test_an_error_of_our_code_is_not_mistaken_for_a_dead_worker(scheduler: dict[str, str]) -> None:
    wrong = replace(JOB, device="no such device")
    with on_dask(Settings(**scheduler, _env_file=None)) as executor:
        flight = Flight(executor, wrong, lambda: 1, 60.0)
        (finished,) = [part for part in flight.results(iter([shard_of("a")])) if part is not None]
    assert [image.key for image in finished.result.unfinished] == ["a"]
    assert "models/digest" in finished.result.unfinished[0].reason
    assert not finished.result.records
    assert not flight.suspects


def test_the_one_image_that_kills_is_found_by_halving() -> None:
    workers = Workers({"f": death()})
    found = list(quarantine(workers, "abcdefgh"))
    assert workers.tried == ["abcd", "efgh", "ef", "e", "f", "gh"]
    rows = {row.key: row for part in found for row in part.result.records}
    assert {key for key, row in rows.items() if row.status == "rejected"} == {"f"}
    assert (len(rows), rows["f"].reason, rows["f"].run_id) == (8, REJECTED_BY_DEATH, "run-1")


def test_who_was_only_near_a_dead_worker_is_not_rejected() -> None:
    found = quarantine(Workers({"b": death(), "c": death()}), "a", "b", "cd")
    assert statuses(found) == {"a": "derained", "b": "rejected", "c": "rejected", "d": "derained"}


def test_workers_that_always_die_blame_no_image() -> None:
    with pytest.raises(WorkersDie, match="even without an image"):
        list(quarantine(Workers(broken=True), "ab"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(None, "DERAIN_STALL_SECONDS"), (FutureCancelledError("key", "gone"), SCHEDULER_GONE)],
)
def test_if_no_worker_answers_the_rest_stays_pending(fault: Exception | None, reason: str) -> None:
    found = list(quarantine(Workers({"c": fault}), "ab", "cd", "ef"))
    assert statuses(iter(found)) == {"a": "derained", "b": "derained"}
    left = {image.key: image.reason for part in found for image in part.result.unfinished}
    assert list(left) == list("cdef")
    assert all(reason in reported for reported in left.values())


@pytest.mark.parametrize(("keys", "parts"), [("a", []), ("ab", ["a", "b"]), ("abc", ["a", "bc"])])
def test_halves_hold_every_image_once(keys: str, parts: list[str]) -> None:
    halves = halved(shard_of(*keys, index=7, replace=True))
    assert ["".join(image.key for image in half.items) for half in halves] == parts
    assert all((half.index, half.replace) == (7, True) for half in halves)

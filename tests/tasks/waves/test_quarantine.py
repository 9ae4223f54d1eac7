"""Who is to blame for a dead worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from distributed.client import FutureCancelledError

from tasks.batch.shards import REJECTED_BY_DEATH
from tasks.waves.dispatch import SCHEDULER_GONE, Finished
from tasks.waves.quarantine import Quarantine, WorkersDie, halved
from tests.support.samples.shards import Client, death, shard_of, workers_of


def quarantine(client: Client, *shards: str) -> Iterator[Finished]:
    return Quarantine(workers_of(client), [shard_of(*keys) for keys in shards]).results()


def statuses(finished: Iterator[Finished]) -> dict[str, str]:
    return {row.key: row.status for part in finished for row in part.result.records}


def test_the_one_image_that_kills_is_found_by_halving() -> None:
    client = Client({"f": death()})
    found = list(quarantine(client, "abcdefgh"))
    assert client.tried == ["abcd", "efgh", "ef", "e", "f", "gh"]
    rows = {row.key: row for part in found for row in part.result.records}
    assert {key for key, row in rows.items() if row.status == "rejected"} == {"f"}
    assert (len(rows), rows["f"].reason, rows["f"].run_id) == (8, REJECTED_BY_DEATH, "run-1")


def test_who_was_only_near_a_dead_worker_is_not_rejected() -> None:
    found = quarantine(Client({"b": death(), "c": death()}), "a", "b", "cd")
    assert statuses(found) == {"a": "derained", "b": "rejected", "c": "rejected", "d": "derained"}


def test_workers_that_always_die_blame_no_image() -> None:
    with pytest.raises(WorkersDie, match="even without an image"):
        list(quarantine(Client({}, broken=True), "ab"))


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(None, "DERAIN_STALL_SECONDS"), (FutureCancelledError("key", "gone"), SCHEDULER_GONE)],
)
def test_where_nobody_answers_the_rest_stays_pending(fault: Exception | None, reason: str) -> None:
    found = list(quarantine(Client({"c": fault}), "ab", "cd", "ef"))
    assert statuses(iter(found)) == {"a": "derained", "b": "derained"}
    left = {image.key: image.reason for part in found for image in part.result.unfinished}
    assert list(left) == list("cdef")
    assert all(reason in told for told in left.values())


@pytest.mark.parametrize(("keys", "parts"), [("a", []), ("ab", ["a", "b"]), ("abc", ["a", "bc"])])
def test_halves_hold_every_image_once(keys: str, parts: list[str]) -> None:
    halves = halved(shard_of(*keys, index=7, replace=True))
    assert ["".join(image.key for image in half.refs) for half in halves] == parts
    assert all((half.index, half.replace) == (7, True) for half in halves)

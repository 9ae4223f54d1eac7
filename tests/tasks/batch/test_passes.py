"""Images of one size share a forward pass; a pass that fails leaves its images pending."""

from __future__ import annotations

import threading

import pytest

from models.engine import TilingRefused
from tasks.batch.shards import can_derain
from tasks.codec import ImageRejected
from tasks.workers.timing import Phase
from tests.support.worlds.shards import JOB, Derain, Inverter, Memory, left_of, rows_of


def test_neighbours_of_one_size_share_a_pass(derain: Derain) -> None:
    engine = Inverter(3)
    damaged = ImageRejected("damaged PNG")
    result = derain("abcdABe", Memory({("decode", "b", 1): damaged, ("decode", "b", 2): damaged}), engine)
    assert engine.batches == [3, 2, 1]
    assert sorted(rows_of(result, "derained")) == sorted("acdABe")


def test_images_of_one_size_share_a_pass_wherever_they_lie(derain: Derain) -> None:
    engine, memory = Inverter(3), Memory()
    result = derain("aAbBcCd", memory, engine)
    assert engine.batches == [3, 3, 1]
    assert {key[0]: data[0] for key, data in memory.puts.items()} == {
        key: 255 - ord(key) for key in "aAbBcCd"
    }
    assert sorted(rows_of(result, "derained")) == sorted("aAbBcCd")


def test_images_that_wait_for_others_of_their_size_are_bounded(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.batch.shards.BATCH_PIXELS", 18)  # lower case: 4 pixels; upper case: 9
    engine = Inverter(10)
    result = derain("abAcBdC", Memory(), engine)
    assert engine.batches == [1, 3, 1, 1, 1]  # A makes room for c, abc for B, B for C; d and C are left
    assert sorted(rows_of(result, "derained")) == sorted("abAcBdC")


@pytest.mark.parametrize(("batch_images", "is_large", "ahead"), [(1, False, 0), (2, False, 1), (2, True, 0)])
def test_threads_decode_ahead_of_batches_but_no_large_images(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, batch_images: int, is_large: bool, ahead: bool
) -> None:
    monkeypatch.setattr("tasks.workers.reading.needs_lock", lambda pixels: is_large)
    memory = Memory()
    result = derain("abcdefgh", memory, Inverter(batch_images))
    assert [record.key for record in result.records] == list("abcdefgh")
    assert all(memory.calls["decode", key] == 1 for key in "abcdefgh")
    assert (threading.get_ident() not in memory.decoded_in) == ahead
    assert result.timing is not None
    assert (result.timing.cpu_of[Phase.DECODE_AHEAD] > 0) == ahead


def test_a_fault_that_is_met_ahead_is_reported_in_its_turn(derain: Derain) -> None:
    damaged, full = ImageRejected("damaged PNG"), MemoryError("no room")
    faults = {("decode", "b", 1): damaged, ("decode", "b", 2): damaged, ("decode", "c", 1): full}
    result = derain("abcd", Memory({**faults, ("decode", "c", 2): full}), Inverter(2))
    assert rows_of(result, "rejected") == {"b": "damaged PNG"}
    assert left_of(result) == {"c": "MemoryError: no room"}
    assert set(rows_of(result, "derained")) == set("ad")


def test_the_next_batch_begins_before_the_result_of_the_last_one(derain: Derain) -> None:
    engine, memory = Inverter(2, ahead=1), Memory()
    result = derain("abcde", memory, engine)
    assert engine.events == ["begin 0", "begin 1", "result 0", "begin 2", "result 1", "result 2"]
    assert [record.key for record in result.records] == list("abcde")
    assert {key[0]: data[0] for key, data in memory.puts.items()} == {key: 255 - ord(key) for key in "abcde"}


def test_a_result_that_fails_leaves_the_images_of_its_batch_pending(derain: Derain) -> None:
    engine = Inverter(2, ahead=1, late=RuntimeError("illegal memory access"))
    result = derain("abcd", Memory(), engine)
    assert left_of(result) == dict.fromkeys("ab", "RuntimeError: illegal memory access")
    assert set(rows_of(result, "derained")) == {"c", "d"}


def test_a_pass_that_fails_leaves_its_images_pending(derain: Derain) -> None:
    engine = Inverter(2, fails=RuntimeError("no memory on the device"))
    result = derain("abcd", Memory(), engine)
    assert left_of(result) == dict.fromkeys("ab", "RuntimeError: no memory on the device")
    assert set(rows_of(result, "derained")) == {"c", "d"}


def test_photographs_that_a_network_cannot_take_whole_are_rows_with_a_reason(derain: Derain) -> None:
    engine = Inverter(2, fails=TilingRefused("more than 9 pixels, and drd-net cannot be tiled"))
    memory = Memory()
    result = derain("abcd", memory, engine)
    reason = (
        "more than 9 pixels, and drd-net cannot be tiled;"
        " take a student or raise DERAIN_TILE_PIXELS, with --redo rejected"
    )
    assert rows_of(result, "rejected") == {"a": reason, "b": reason}
    assert set(rows_of(result, "derained")) == {"c", "d"} == {key[0] for key in memory.puts}
    assert result.unfinished == ()


def test_a_worker_shows_that_it_can_derain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.batch.shards.loaded_engine", lambda *model: Inverter(1))
    assert can_derain(JOB)

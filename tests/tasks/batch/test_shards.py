"""The failure map of a shard: the outcome of an image if something fails on call 1, 2 or 3."""

from __future__ import annotations

import hashlib
import os

import pytest

from infra.errors import (
    ARCHIVED,
    AccessDenied,
    CredentialsRefused,
    KeyRefused,
    ObjectArchived,
    ObjectNotFound,
    ObjectStillChanging,
    ObjectUnreadable,
    StorageError,
)
from tasks.codec import ImageRejected
from tasks.workers.reading import FAULTS_IN_A_ROW, ReadAhead
from tasks.workers.timing import IMAGE_PHASES, IN_BACKGROUND, Phase
from tests.support.worlds.shards import Derain, Memory, left_of, rows_of

UNWRITTEN = "its output cannot be written (x is a folder); --redo rejected tries again"
TIME_OUT = StorageError("mem://in/x: time-out (gave up after 7 attempts)")


def test_a_shard_returns_where_its_time_went(derain: Derain) -> None:
    result = derain("abc", Memory())
    timing = result.timing
    assert timing is not None
    assert timing.worker == os.getpid()
    assert set(timing.cpu_of) == set(timing.wall_of) == set(Phase)
    for phase in {*IMAGE_PHASES, *IN_BACKGROUND, Phase.AWAIT_FETCH, Phase.AWAIT_PUT} - {Phase.DECODE_AHEAD}:
        assert timing.wall_of[phase] > 0, phase
    in_line = sum(timing.wall_of[phase] for phase in Phase if phase not in IN_BACKGROUND)
    assert in_line <= timing.ended - timing.began
    assert result.image_seconds == sum(timing.cpu_of[phase] for phase in IMAGE_PHASES)


def test_every_image_gets_an_output_and_a_row(derain: Derain) -> None:
    memory = Memory()
    result = derain("abcdefgh", memory)
    assert [record.key for record in result.records] == list("abcdefgh")
    assert result.unfinished == ()
    first = result.records[0]
    expected = bytes([255 - ord("a")]) * 12
    assert memory.puts["a.png"] == expected
    assert first.output_sha256 == hashlib.sha256(expected).hexdigest()
    assert (first.source, first.destination, first.export, first.etag) == (
        "mem://in",
        "mem://out",
        "png",
        "etag-a",
    )
    assert (first.model_name, first.model_version, first.model_digest, first.run_id) == (
        "tiny",
        "3",
        "digest",
        "run-1",
    )
    assert (first.height, first.width, first.output_key, first.reason) == (2, 2, "a.png", None)
    assert first.rain_energy == pytest.approx(abs(255 - 2 * ord("a")) / 255)
    assert set(memory.calls.values()) == {1}


def test_a_row_says_what_its_output_lacks(derain: Derain) -> None:
    result = derain("abc", Memory(lacking={"b": ("gain map", "XMP")}))
    assert rows_of(result, "derained") == {"a": None, "b": "dropped: gain map, XMP", "c": None}


@pytest.mark.parametrize(
    ("what", "error", "fetches", "reason"),
    [
        ("name", ImageRejected("the key is an absolute path"), 1, "the key is an absolute path"),
        ("fetch", KeyRefused("name too long"), 1, "not a file that can be read (name too long)"),
        ("decode", ImageRejected("truncated JPEG"), 2, "truncated JPEG"),
        ("encode", ImageRejected("too large for JPEG"), 2, "too large for JPEG"),
        ("put", KeyRefused("x is a folder"), 1, UNWRITTEN),
    ],
)
def test_a_fault_of_an_image_is_a_row_with_its_reason(
    derain: Derain, what: str, error: Exception, fetches: int, reason: str
) -> None:
    memory = Memory({(what, "c", 1): error})
    result = derain("abcde", memory)
    assert rows_of(result, "rejected") == {"c": reason}
    assert set(rows_of(result, "derained")) == set("abde")
    assert result.unfinished == ()
    assert set(memory.puts) == {"a.png", "b.png", "d.png", "e.png"}
    assert memory.calls["fetch", "c"] == fetches


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("fetch", TIME_OUT),
        ("fetch", ObjectNotFound("mem://in/c: gone")),
        ("fetch", AccessDenied("mem://in: refused")),
        ("fetch", MemoryError("no room")),
        ("put", TIME_OUT),
        ("put", AccessDenied("mem://out: refused")),
        ("put", MemoryError("no room")),
        ("decode", MemoryError("no room")),
        ("decode", AssertionError("an error of ours")),
        ("encode", MemoryError("no room")),
        ("encode", ValueError("an error of ours")),
    ],
)
def test_a_fault_of_the_world_leaves_an_image_pending(derain: Derain, what: str, error: Exception) -> None:
    result = derain("abcde", Memory({(what, "c", 1): error}))
    assert set(left_of(result)) == {"c"}
    assert str(error) in left_of(result)["c"]
    assert set(rows_of(result, "derained")) == set("abde")
    assert rows_of(result, "rejected") == {}


@pytest.mark.parametrize("what", ["decode", "encode"])
def test_an_image_is_rejected_only_if_it_is_the_same_when_fetched_again(derain: Derain, what: str) -> None:
    rejected = {(what, "b", 1): ImageRejected("damaged PNG")}
    changed = derain("abc", Memory(rejected, changes={"b"}))
    assert rows_of(changed, "rejected") == {}
    assert left_of(changed) == {"b": "two fetches gave different bytes"}
    unreachable = derain("abc", Memory({**rejected, ("fetch", "b", 2): TIME_OUT}))
    assert rows_of(unreachable, "rejected") == {}
    assert left_of(unreachable) == {"b": str(TIME_OUT)}
    assert set(rows_of(unreachable, "derained")) == {"a", "c"}
    archived = derain("abc", Memory({**rejected, ("fetch", "b", 2): ObjectArchived()}))
    assert rows_of(archived, "rejected") == {"b": ARCHIVED}
    assert set(rows_of(archived, "derained")) == {"a", "c"}


def test_an_image_that_became_a_folder_since_its_first_fetch_stays_pending(derain: Derain) -> None:
    since = KeyRefused("b is a folder, not a file")
    result = derain("abc", Memory({("decode", "b", 1): ImageRejected("truncated"), ("fetch", "b", 2): since}))
    assert left_of(result) == {"b": str(since)}
    assert set(rows_of(result, "derained")) == {"a", "c"}


def test_after_faults_in_a_row_the_rest_is_left_untried(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    memory = Memory({("fetch", key, 1): TIME_OUT for key in keys[2:]})
    result = derain(keys, memory)
    assert set(rows_of(result, "derained")) == {"a", "b"}
    left = left_of(result)
    assert list(left) == list(keys[2:])
    assert [left[key] for key in keys[2:5]] == [str(TIME_OUT)] * FAULTS_IN_A_ROW
    begun = 5 + ReadAhead().images
    assert {left[key] for key in keys[begun:]} == {"not tried after repeated storage failures"}
    assert sum(count for (what, _), count in memory.calls.items() if what == "decode") == 2


def test_images_that_were_fetched_before_faults_in_a_row_show_that_storage_works(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    memory = Memory({("fetch", key, 1): TIME_OUT for key in keys[:FAULTS_IN_A_ROW]})
    result = derain(keys, memory)
    assert set(rows_of(result, "derained")) == set(keys[FAULTS_IN_A_ROW:])
    assert set(left_of(result).values()) == {str(TIME_OUT)}


def test_puts_that_fail_in_a_row_stop_the_shard_too(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    memory = Memory({("put", key, 1): TIME_OUT for key in keys})
    result = derain(keys, memory)
    assert result.records == ()
    assert set(left_of(result)) == set(keys)
    assert "not tried after repeated storage failures" in left_of(result).values()


def test_faults_with_successes_between_stop_nothing(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    result = derain(keys, Memory({("put", key, 1): TIME_OUT for key in keys[::2]}))
    assert set(rows_of(result, "derained")) == set(keys[1::2])
    assert set(left_of(result).values()) == {str(TIME_OUT)}


def test_fetches_that_fail_with_successes_between_stop_nothing(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    result = derain(keys, Memory({("fetch", key, 1): TIME_OUT for key in keys[::2]}))
    assert set(rows_of(result, "derained")) == set(keys[1::2])


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("fetch", ObjectNotFound("gone")),
        ("fetch", AccessDenied("mode 000")),
        ("fetch", ObjectStillChanging("3 bytes instead of 4")),
        ("fetch", ObjectUnreadable("KMS.DisabledException")),
        ("decode", MemoryError("no room")),
        ("put", AccessDenied("mode 000")),
    ],
)
def test_faults_of_single_images_say_nothing_of_the_next(derain: Derain, what: str, error: Exception) -> None:
    keys = "abcdefgh"
    result = derain(keys, Memory({(what, key, 1): error for key in keys[:6]}))
    assert set(rows_of(result, "derained")) == set("gh")
    assert set(left_of(result)) == set(keys[:6])


@pytest.mark.parametrize("what", ["fetch", "put"])
def test_credentials_that_expired_stop_the_shard(derain: Derain, what: str) -> None:
    keys = "abcdefghijklmnop"
    expired = CredentialsRefused("mem://in: access denied (ExpiredToken)")
    result = derain(keys, Memory({(what, key, 1): expired for key in keys}))
    assert set(left_of(result)) == set(keys)
    assert "not tried after repeated storage failures" in left_of(result).values()


@pytest.mark.parametrize(
    ("what", "error", "of_one_object"),
    [
        ("fetch", ObjectNotFound("gone"), True),
        ("fetch", AccessDenied("mode 000"), True),
        ("fetch", ObjectUnreadable("KMS.DisabledException"), True),
        ("fetch", CredentialsRefused("ExpiredToken"), False),
        ("fetch", TIME_OUT, False),
        ("decode", MemoryError("no room"), False),
        ("put", AccessDenied("read-only"), False),
    ],
)
def test_a_pending_image_says_whether_its_failure_is_of_that_object_alone(
    derain: Derain, what: str, error: Exception, of_one_object: bool
) -> None:
    result = derain("abc", Memory({(what, "b", 1): error}))
    assert [(image.key, image.of_one_object) for image in result.unfinished] == [("b", of_one_object)]


def test_images_that_are_not_begun_in_time_are_left(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.batch.shards.SHARD_SECONDS", -1.0)
    memory = Memory()
    result = derain("abcdefgh", memory)
    assert [record.key for record in result.records] == ["a"]
    assert (result.left, result.unfinished) == (7, ())
    assert memory.puts.keys() == {"a.png"}


def test_an_empty_shard_gives_nothing(derain: Derain) -> None:
    assert derain("", Memory()).records == ()

"""The failure map of a shard: what becomes of an image when something fails on call 1, 2 or 3."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from infra.errors import ObjectStillChanging, StorageError
from infra.records import ImageRef, Scope, StoredObject
from infra.storage.location import AccessDenied, KeyRefused, ObjectNotFound
from models.engine import Begun, TilingRefused
from tasks.batch.shards import ShardJob, can_derain, derain_shard
from tasks.codec import ImageRejected, Picture, PictureForm
from tasks.codec.exports import Export
from tasks.media.opening import MediumSpec
from tasks.waves.loaded import StagedModel
from tasks.waves.reading import FAULTS_IN_A_ROW
from tasks.waves.stage import Shard, ShardResult
from tasks.waves.timing import IMAGE_PHASES, IN_BACKGROUND, Phase

SPEC = MediumSpec("mem://in", "mem://out", Export("png"), 1_000)
JOB = ShardJob(
    Scope("mem://in", "mem://out", "png"),
    SPEC,
    StagedModel("tiny", "3", "digest", "mem://m"),
    "run-1",
    "cpu",
    99,
)
TIME_OUT = StorageError("mem://in/x: time-out (gave up after 7 attempts)")
Failures = dict[tuple[str, str, int], Exception]


@dataclass
class Memory:
    """Images of 2x2 pixels, of the grey level that is their only byte; fails where the test asks for it."""

    failures: Failures = field(default_factory=dict)
    changes: set[str] = field(default_factory=set)
    lacking: dict[str, tuple[str, ...]] = field(default_factory=dict)
    puts: dict[str, bytes] = field(default_factory=dict)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    decoded_in: set[int] = field(default_factory=set)

    def output_key(self, ref: ImageRef) -> str:
        self._call("name", ref.key)
        return f"{ref.key}.png"

    def fetch(self, ref: ImageRef) -> bytes:
        count = self._call("fetch", ref.key)
        return f"{ref.key}{count if ref.key in self.changes else ''}".encode()

    def pixels(self, data: bytes) -> int:
        return len(data)

    def decode(self, data: bytes) -> Picture:
        self._call("decode", chr(data[0]))
        self.decoded_in.add(threading.get_ident())
        level, side = data[0], 3 if chr(data[0]).isupper() else 2
        return Picture(np.full((side, side, 3), level, np.uint8), None, PictureForm("PNG", "RGB"))

    def encode(self, derained: np.ndarray, picture: Picture) -> bytes:
        self._call("encode", chr(255 - derained.flat[0]))
        return derained.tobytes()

    def dropped(self, picture: Picture) -> tuple[str, ...]:
        return self.lacking.get(chr(picture.rgb.flat[0]), ())

    def put(self, key: str, data: bytes) -> StoredObject:
        self._call("put", key[0])
        self.puts[key] = data
        return StoredObject(len(data), None)

    def output(self, key: str) -> np.ndarray:
        raise NotImplementedError

    def _call(self, what: str, key: str) -> int:
        with self.lock:
            self.calls[what, key] += 1
            count = self.calls[what, key]
        if (what, key, count) in self.failures:
            raise self.failures[what, key, count]
        return count


class Inverter:
    """Stands for a network: turns grey levels round."""

    def __init__(
        self, batch_images: int, fails: Exception | None = None, ahead: int = 0, late: Exception | None = None
    ) -> None:
        self.batch_images = batch_images
        self.ahead = ahead
        self.batches: list[int] = []
        self.fails, self.late = fails, late
        self.events: list[str] = []

    def derain(self, rainy: np.ndarray) -> np.ndarray:
        return self.begin(rainy).result()

    def begin(self, rainy: np.ndarray) -> Begun:
        number = len(self.batches)
        self.batches.append(len(rainy))
        self.events.append(f"begin {number}")
        if self.fails is not None and number == 0:
            raise self.fails
        return Inverted(self, number, rainy)


@dataclass
class Inverted:
    engine: Inverter
    number: int
    rainy: np.ndarray

    def result(self) -> np.ndarray:
        self.engine.events.append(f"result {self.number}")
        if self.engine.late is not None and self.number == 0:
            raise self.engine.late
        return 255 - self.rainy


Derain = Callable[..., ShardResult]


@pytest.fixture
def derain(monkeypatch: pytest.MonkeyPatch) -> Derain:
    """Derains images in memory: `derain(keys, memory, engine)`."""

    def run(keys: str, memory: Memory, engine: Inverter | None = None) -> ShardResult:
        monkeypatch.setattr("tasks.batch.shards.open_medium", lambda spec: memory)
        monkeypatch.setattr("tasks.batch.shards.loaded_engine", lambda *model: engine or Inverter(1))
        return derain_shard(JOB, Shard(0, tuple(ImageRef(key, f"etag-{key}", 1) for key in keys), False))

    return run


def _rows(result: ShardResult, status: str) -> dict[str, str | None]:
    return {record.key: record.reason for record in result.records if record.status == status}


def _left(result: ShardResult) -> dict[str, str]:
    return {image.key: image.reason for image in result.unfinished}


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
    assert _rows(result, "derained") == {"a": None, "b": "dropped: gain map, XMP", "c": None}


@pytest.mark.parametrize(
    ("what", "error", "fetches"),
    [
        ("name", ImageRejected("the key is an absolute path"), 1),
        ("fetch", KeyRefused("name too long"), 1),
        ("decode", ImageRejected("truncated JPEG"), 2),
        ("encode", ImageRejected("too large for JPEG"), 2),
        ("put", KeyRefused("a folder is in the way"), 1),
    ],
)
def test_a_fault_of_an_image_is_a_row_with_its_reason(
    derain: Derain, what: str, error: Exception, fetches: int
) -> None:
    memory = Memory({(what, "c", 1): error})
    result = derain("abcde", memory)
    assert _rows(result, "rejected") == {"c": str(error)}
    assert set(_rows(result, "derained")) == set("abde")
    assert result.unfinished == ()
    assert set(memory.puts) == {"a.png", "b.png", "d.png", "e.png"}
    assert memory.calls["fetch", "c"] == fetches


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("fetch", TIME_OUT),
        ("fetch", ObjectNotFound("mem://in/c: gone")),
        ("fetch", AccessDenied("mem://in: refused")),
        ("put", TIME_OUT),
        ("put", AccessDenied("mem://out: refused")),
        ("decode", MemoryError("no room")),
        ("decode", AssertionError("an error of ours")),
        ("encode", MemoryError("no room")),
        ("encode", ValueError("an error of ours")),
    ],
)
def test_a_fault_of_the_world_leaves_an_image_pending(derain: Derain, what: str, error: Exception) -> None:
    result = derain("abcde", Memory({(what, "c", 1): error}))
    assert set(_left(result)) == {"c"}
    assert str(error) in _left(result)["c"]
    assert set(_rows(result, "derained")) == set("abde")
    assert _rows(result, "rejected") == {}


@pytest.mark.parametrize("what", ["decode", "encode"])
def test_an_image_is_rejected_only_if_it_is_the_same_when_fetched_again(derain: Derain, what: str) -> None:
    rejected = {(what, "b", 1): ImageRejected("damaged PNG")}
    changed = derain("abc", Memory(rejected, changes={"b"}))
    assert _rows(changed, "rejected") == {}
    assert _left(changed) == {"b": "two fetches gave different bytes"}
    unreachable = derain("abc", Memory({**rejected, ("fetch", "b", 2): TIME_OUT}))
    assert _rows(unreachable, "rejected") == {}
    assert _left(unreachable) == {"b": str(TIME_OUT)}
    assert set(_rows(unreachable, "derained")) == {"a", "c"}


def test_after_faults_in_a_row_the_rest_is_left_untried(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    memory = Memory({("fetch", key, 1): TIME_OUT for key in keys[2:]})
    result = derain(keys, memory)
    assert set(_rows(result, "derained")) == {"a", "b"}
    left = _left(result)
    assert list(left) == list(keys[2:])
    assert [left[key] for key in keys[2:5]] == [str(TIME_OUT)] * FAULTS_IN_A_ROW
    assert {left[key] for key in keys[5:]} == {"left untried after faults in a row"}
    assert sum(count for (what, _), count in memory.calls.items() if what == "decode") == 2


def test_puts_that_fail_in_a_row_stop_the_shard_too(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    memory = Memory({("put", key, 1): TIME_OUT for key in keys})
    result = derain(keys, memory)
    assert result.records == ()
    assert set(_left(result)) == set(keys)
    assert "left untried after faults in a row" in _left(result).values()


def test_faults_with_successes_between_stop_nothing(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    result = derain(keys, Memory({("put", key, 1): TIME_OUT for key in keys[::2]}))
    assert set(_rows(result, "derained")) == set(keys[1::2])
    assert set(_left(result).values()) == {str(TIME_OUT)}


def test_fetches_that_fail_with_successes_between_stop_nothing(derain: Derain) -> None:
    keys = "abcdefghijklmnop"
    result = derain(keys, Memory({("fetch", key, 1): TIME_OUT for key in keys[::2]}))
    assert set(_rows(result, "derained")) == set(keys[1::2])


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("fetch", ObjectNotFound("gone")),
        ("fetch", AccessDenied("mode 000")),
        ("fetch", ObjectStillChanging("3 bytes instead of 4")),
        ("decode", MemoryError("no room")),
        ("put", AccessDenied("mode 000")),
    ],
)
def test_faults_of_single_images_say_nothing_of_the_next(derain: Derain, what: str, error: Exception) -> None:
    keys = "abcdefgh"
    result = derain(keys, Memory({(what, key, 1): error for key in keys[:6]}))
    assert set(_rows(result, "derained")) == set("gh")
    assert set(_left(result)) == set(keys[:6])


def test_neighbours_of_one_size_share_a_pass(derain: Derain) -> None:
    engine = Inverter(3)
    damaged = ImageRejected("damaged PNG")
    result = derain("abcdABe", Memory({("decode", "b", 1): damaged, ("decode", "b", 2): damaged}), engine)
    assert engine.batches == [3, 2, 1]
    assert sorted(_rows(result, "derained")) == sorted("acdABe")


def test_images_of_one_size_share_a_pass_wherever_they_lie(derain: Derain) -> None:
    engine, memory = Inverter(3), Memory()
    result = derain("aAbBcCd", memory, engine)
    assert engine.batches == [3, 3, 1]
    assert {key[0]: data[0] for key, data in memory.puts.items()} == {
        key: 255 - ord(key) for key in "aAbBcCd"
    }
    assert sorted(_rows(result, "derained")) == sorted("aAbBcCd")


def test_images_that_wait_for_others_of_their_size_are_bounded(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.batch.shards.BATCH_PIXELS", 18)  # lower case: 4 pixels; upper case: 9
    engine = Inverter(10)
    result = derain("abAcBdC", Memory(), engine)
    assert engine.batches == [1, 3, 1, 1, 1]  # A makes room for c, abc for B, B for C; d and C are left
    assert sorted(_rows(result, "derained")) == sorted("abAcBdC")


@pytest.mark.parametrize(("batch_images", "is_large", "ahead"), [(1, False, 0), (2, False, 1), (2, True, 0)])
def test_threads_decode_ahead_of_batches_but_no_large_images(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, batch_images: int, is_large: bool, ahead: bool
) -> None:
    monkeypatch.setattr("tasks.waves.reading.needs_lock", lambda pixels: is_large)
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
    assert _rows(result, "rejected") == {"b": "damaged PNG"}
    assert _left(result) == {"c": "MemoryError: no room"}
    assert set(_rows(result, "derained")) == set("ad")


def test_the_next_batch_begins_before_the_result_of_the_last_one(derain: Derain) -> None:
    engine, memory = Inverter(2, ahead=1), Memory()
    result = derain("abcde", memory, engine)
    assert engine.events == ["begin 0", "begin 1", "result 0", "begin 2", "result 1", "result 2"]
    assert [record.key for record in result.records] == list("abcde")
    assert {key[0]: data[0] for key, data in memory.puts.items()} == {key: 255 - ord(key) for key in "abcde"}


def test_a_result_that_fails_leaves_the_images_of_its_batch_pending(derain: Derain) -> None:
    engine = Inverter(2, ahead=1, late=RuntimeError("illegal memory access"))
    result = derain("abcd", Memory(), engine)
    assert _left(result) == dict.fromkeys("ab", "RuntimeError: illegal memory access")
    assert set(_rows(result, "derained")) == {"c", "d"}


def test_a_pass_that_fails_leaves_its_images_pending(derain: Derain) -> None:
    engine = Inverter(2, fails=RuntimeError("no memory on the device"))
    result = derain("abcd", Memory(), engine)
    assert _left(result) == dict.fromkeys("ab", "RuntimeError: no memory on the device")
    assert set(_rows(result, "derained")) == {"c", "d"}


def test_photographs_that_a_network_cannot_take_whole_are_rows_with_a_reason(derain: Derain) -> None:
    engine = Inverter(2, fails=TilingRefused("more than 9 pixels, and drd-net cannot be tiled"))
    memory = Memory()
    result = derain("abcd", memory, engine)
    reason = (
        "more than 9 pixels, and drd-net cannot be tiled;"
        " take a student or raise DERAIN_TILE_PIXELS, with --redo rejected"
    )
    assert _rows(result, "rejected") == {"a": reason, "b": reason}
    assert set(_rows(result, "derained")) == {"c", "d"} == {key[0] for key in memory.puts}
    assert result.unfinished == ()


def test_images_that_are_not_begun_in_time_are_left(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.batch.shards.SHARD_SECONDS", -1.0)
    memory = Memory()
    result = derain("abcdefgh", memory)
    assert [record.key for record in result.records] == ["a"]
    assert (result.left, result.unfinished) == (7, ())
    assert memory.puts.keys() == {"a.png"}


def test_an_empty_shard_gives_nothing(derain: Derain) -> None:
    assert derain("", Memory()).records == ()


def test_a_worker_shows_that_it_can_derain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.batch.shards.loaded_engine", lambda *model: Inverter(1))
    assert can_derain(JOB)

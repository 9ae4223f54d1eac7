"""Shards of images in memory, whose reads, writes and passes fail where a test asks for it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from infra.records import ImageRef, Scope, StoredObject
from models.engine import Begun
from tasks.batch.shards import ShardJob
from tasks.codec import Picture, PictureForm
from tasks.codec.exports import Export
from tasks.media.opening import MediumSpec
from tasks.waves.stage import ShardResult
from tasks.workers.loaded import StagedModel

SPEC = MediumSpec("mem://in", "mem://out", Export("png"), 1_000)


JOB = ShardJob(
    Scope("mem://in", "mem://out", "png"),
    SPEC,
    StagedModel("tiny", "3", "digest", "mem://m"),
    "run-1",
    "cpu",
    99,
)


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
    """Stands in for a network: inverts grey levels."""

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


def rows_of(result: ShardResult, status: str) -> dict[str, str | None]:
    return {record.key: record.reason for record in result.records if record.status == status}


def left_of(result: ShardResult) -> dict[str, str]:
    return {image.key: image.reason for image in result.unfinished}

"""A job and its shards for tests of what sends them, and workers that answer at once, die, or never answer."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from distributed import KilledWorker

from infra.records import Scope
from tasks.batch.shards import ShardJob
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec
from tasks.waves.dispatch import Workers
from tasks.waves.loaded import StagedModel
from tasks.waves.pending import Shard
from tasks.waves.shard_results import ShardResult, Unfinished
from tests.support.samples.records import record, ref

JOB = ShardJob(
    Scope("/rainy", "/derained", "png"),
    MediumSpec("/rainy", "/derained", Export("png"), 1000),
    StagedModel("tiny", "1", "digest", "/models"),
    "run-1",
    "cpu",
    1000,
)


def shard_of(*keys: str, index: int = 0, replace: bool = False) -> Shard:
    return Shard(index, tuple(ref(key) for key in keys), replace)


class Answer:
    """A future that is there already, or never will be."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def add_done_callback(self, call: Callable[[Any], None]) -> None:
        if self._answer is not None:
            call(self)

    def result(self, timeout: float) -> Any:
        if self._answer is None:
            raise TimeoutError
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class Client:
    """Workers that fail at some images, each in its way, or die of anything once they are `broken`."""

    def __init__(self, fails: dict[str, Exception | None], *, broken: bool = False) -> None:
        self.fails = fails
        self.broken = broken
        self.tried: list[str] = []

    def submit(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Answer:
        function, arguments = pickle.loads(arguments[0])  # packed, for a scheduler that has none of our code
        if function.__name__ != JOB.do.__name__:
            return Answer(death() if self.broken else True)
        keys = [image.key for image in arguments[0].refs]
        self.tried.append("".join(keys))
        if self.broken:
            return Answer(death())
        for key in keys:
            if key in self.fails:
                return Answer(self.fails[key])
        return Answer(ShardResult(tuple(record(key) for key in keys), (), 0.0))


def death() -> KilledWorker:
    return KilledWorker("task", None, 2)


def workers_of(client: Any, stall_seconds: float = 60.0) -> Workers:
    return Workers(client, JOB, stall_seconds)


def result_of(*records: Any, unfinished: int = 0) -> ShardResult:
    left = tuple(Unfinished(f"left-{number}", "time-out") for number in range(unfinished))
    return ShardResult(tuple(records), left, 0.5)

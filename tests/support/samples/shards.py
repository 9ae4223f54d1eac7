"""A job and its shards for tests of their dispatch, and workers that answer at once, die, or never answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from distributed import KilledWorker

from infra.records import Scope
from tasks.batch.shards import ShardJob
from tasks.codec.exports import Export
from tasks.media.medium import MediumSpec
from tasks.waves.stage import Shard, ShardResult
from tasks.workers.loaded import StagedModel
from tasks.workers.unfinished import Unfinished
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
    """A future that has finished already, or never will."""

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


class Workers:
    """An executor that fails on some images, each in its own way, or on everything if it is `broken`."""

    def __init__(
        self,
        fails: Mapping[str, ShardResult | Exception | None] | None = None,
        *,
        broken: bool = False,
        most: int | None = None,
        workers: int = 1,
    ) -> None:
        self.fails = fails or {}
        self.broken = broken
        self.most = most
        """Maximum number of items of a shard that are started in time; None: all."""
        self.workers = workers
        self.waves_ahead = 2
        self.tried: list[str] = []

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Answer:
        if function.__name__ != JOB.do.__name__:
            return Answer(death() if self.broken else True)
        keys = [image.key for image in arguments[0].items]
        self.tried.append("".join(keys))
        if self.broken:
            return Answer(death())
        for key in keys:
            if key in self.fails:
                return Answer(self.fails[key])
        begun = keys[: self.most]
        return Answer(ShardResult(tuple(record(key) for key in begun), (), 0.0, len(keys) - len(begun)))

    def submit_all(
        self, function: Callable[..., Any], items: Sequence[Shard], keys: Sequence[Any], priority: int
    ) -> list[Answer]:
        return [self.submit(function, item) for item in items]

    def results(self, answers: Sequence[Answer], seconds: float) -> dict[Answer, Any]:
        return {}


def death() -> KilledWorker:
    return KilledWorker("task", None, 2)


def result_of(*records: Any, unfinished: int = 0, of_one_object: bool = False) -> ShardResult:
    left = tuple(Unfinished(f"left-{number}", "time-out", of_one_object) for number in range(unfinished))
    return ShardResult(tuple(records), left, 0.5)

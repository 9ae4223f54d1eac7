"""Waves: the shards in flight between two catalog commits. One wave is one Prefect task run.

Shards go to Dask before their wave's turn comes, so that workers do not wait for commits.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from distributed import Client, Future, KilledWorker, as_completed
from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.catalog import Catalog
from infra.fault_points import fault_point
from infra.lease import Lease
from infra.records import DerainRecord
from tasks.pending import Shard
from tasks.shards import ShardJob, ShardResult, Unfinished, derain_shard, rejected_record

REJECTED_BY_DEATH = "the process that derains it dies each time"


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that came back from its worker."""

    shard: Shard
    result: ShardResult


@dataclass(slots=True)
class Tally:
    """What a run has done so far."""

    derained: int = 0
    rejected: int = 0
    pixels: int = 0
    image_seconds: float = 0.0
    unfinished: list[Unfinished] = field(default_factory=list)
    unfinished_count: int = 0

    KEEP = 20
    """Unfinished images whose reasons are kept for the run's message."""

    def add(self, result: ShardResult) -> None:
        """Count the result of a shard."""
        derained = [record for record in result.records if record.status == "derained"]
        self.derained += len(derained)
        self.rejected += len(result.records) - len(derained)
        self.pixels += sum((record.height or 0) * (record.width or 0) for record in derained)
        self.image_seconds += result.image_seconds
        self.unfinished_count += len(result.unfinished)
        self.unfinished += result.unfinished[: self.KEEP - len(self.unfinished)]

    @property
    def recorded(self) -> int:
        """Images that have a row now."""
        return self.derained + self.rejected

    @property
    def images(self) -> int:
        """Images that are through, recorded or not."""
        return self.recorded + self.unfinished_count


class Wave:
    """Shards that were handed to Dask and will be committed together.

    Parameters
    ----------
    client : Client
        The cluster.
    job : ShardJob
        What all shards have in common.
    shards : iterable of Shard
        Sent off at once.
    """

    def __init__(self, client: Client, job: ShardJob, shards: Iterable[Shard]) -> None:
        self._client = client
        self._job = job
        self._shards: dict[Future, Shard] = {self._submit(shard): shard for shard in shards}

    def results(self) -> Iterator[Finished]:
        """Yield shards as they come back.

        A shard that kills its worker again and again is halved, and its halves are sent off again, down to the
        one image that does it, which is rejected.
        """
        waiting = as_completed(list(self._shards))
        for future in waiting:
            shard = self._shards.pop(future)
            try:
                yield Finished(shard, future.result())
            except KilledWorker:
                halves = halved(shard)
                if not halves:
                    yield Finished(shard, self._killer(shard))
                for half in halves:
                    again = self._submit(half)
                    self._shards[again] = half
                    waiting.add(again)

    def _submit(self, shard: Shard) -> Future:
        return self._client.submit(derain_shard, self._job, shard, pure=False)

    def _killer(self, shard: Shard) -> ShardResult:
        record = rejected_record(self._job, shard.refs[0], REJECTED_BY_DEATH)
        return ShardResult((record,), (), 0.0)


def halved(shard: Shard) -> list[Shard]:
    """Cut a shard in two; an image alone gives nothing."""
    middle = len(shard.refs) // 2
    parts = (shard.refs[:middle], shard.refs[middle:]) if middle else ()
    return [Shard(shard.index, part, shard.replace) for part in parts]


@task(name="wave", task_run_name="wave-{number}", cache_policy=NO_CACHE)
def finish_wave(
    number: int, wave: Wave, catalog: Catalog, lease: Lease, tell: Callable[[ShardResult], None]
) -> None:
    """Wait for the shards of a wave, then commit their rows.

    Parameters
    ----------
    number : int
        Shown as the task run's name.
    wave : Wave
        Shards that are under way.
    catalog : Catalog
        Takes the rows.
    lease : Lease
        Must still be ours when committing.
    tell : callable
        Told of each shard that came back.

    Raises
    ------
    LeaseLost
        If another coordinator works on the destination now; nothing was committed.
    """
    fresh: list[DerainRecord] = []
    again: list[DerainRecord] = []
    for finished in wave.results():
        (again if finished.shard.replace else fresh).extend(finished.result.records)
        tell(finished.result)
    lease.check()
    fault_point("before-commit")
    for records, replace in ((fresh, False), (again, True)):
        if records:
            catalog.commit(records, replace=replace)
    fault_point("after-commit")


def run_waves(
    client: Client,
    job: ShardJob,
    shards: Iterator[Shard],
    wave_shards: int,
    finish: Callable[[int, Wave], bool],
) -> None:
    """Send shards off in waves and finish each, always with the next one under way already.

    Ends early when `finish` says that a wave got nothing done: then the world is at fault, and later images
    would only wait for the same time-outs.
    """
    under_way: deque[tuple[int, Wave]] = deque()
    for number in itertools.count(1):
        chosen = list(itertools.islice(shards, wave_shards))
        if chosen:
            under_way.append((number, Wave(client, job, chosen)))
        if not under_way:
            return
        if len(under_way) > 1 or not chosen:
            got_on = finish(*under_way.popleft())
            fault_point("between-waves")
            if not got_on:
                return

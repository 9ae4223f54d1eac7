"""Waves: the shards in flight between two catalog commits. One wave is one Prefect task run.

Shards go to Dask before their wave's turn comes, so that workers do not wait for commits.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol
from uuid import uuid4

from distributed import Client, Future, KilledWorker, as_completed
from prefect import task
from prefect.cache_policies import NO_CACHE

from infra.catalog import Catalog
from infra.cluster import submit
from infra.fault_points import fault_point
from infra.faults import WorldFault
from infra.lease import Lease
from infra.records import DerainRecord
from tasks.pending import Shard
from tasks.shards import ShardJob, ShardResult, Unfinished, can_derain, derain_shard, rejected_record

REJECTED_BY_DEATH = "the process that derains it dies each time"


class WorkersDie(WorldFault):
    """Worker processes die whatever they do."""


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


class Results(Protocol):
    """Shards under way, whose rows are committed together."""

    def results(self) -> Iterator[Finished]:
        """Yield shards as they come back."""


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
        self.suspects: list[Shard] = []
        self._shards = {_submit(client, job, shard): shard for shard in shards}

    def results(self) -> Iterator[Finished]:
        """Yield shards as they come back.

        Those that lost their worker again and again become suspects: it may have been another shard, given to
        the same worker, that killed it.
        """
        for future in as_completed(list(self._shards)):
            shard = self._shards.pop(future)
            try:
                yield Finished(shard, future.result())
            except KilledWorker:
                self.suspects.append(shard)


class Quarantine:
    """Suspects, run one at a time once all waves are through: what dies now was killed by nobody else.

    A shard that kills its workers is halved, and its halves are run, down to the one image that does it, which
    is rejected.

    Parameters
    ----------
    client : Client
        The cluster, on which nothing else of this run is under way.
    job : ShardJob
        What all shards have in common.
    suspects : iterable of Shard
        Looked at in this order.
    """

    def __init__(self, client: Client, job: ShardJob, suspects: Iterable[Shard]) -> None:
        self._client = client
        self._job = job
        self._waiting = deque(part for shard in suspects for part in halved(shard) or [shard])

    def results(self) -> Iterator[Finished]:
        """Yield shards as they come back, and single images that never will.

        Raises
        ------
        WorkersDie
            If workers die whatever they do: no image is to blame.
        """
        while self._waiting:
            shard = self._waiting.popleft()
            try:
                yield Finished(shard, _submit(self._client, self._job, shard).result())
            except KilledWorker:
                halves = halved(shard)
                self._waiting.extendleft(reversed(halves))
                if not halves:
                    self._check_workers()
                    yield Finished(shard, self._killer(shard))

    def _check_workers(self) -> None:
        try:
            submit(self._client, can_derain, self._job).result()
        except KilledWorker as error:
            raise WorkersDie("worker processes die even without an image: look at their logs") from error

    def _killer(self, shard: Shard) -> ShardResult:
        record = rejected_record(self._job, shard.refs[0], REJECTED_BY_DEATH)
        return ShardResult((record,), (), 0.0)


def _submit(client: Client, job: ShardJob, shard: Shard) -> Future:
    # Tasks of one group wait at the scheduler, not at a worker that another one might kill.
    key = (f"derain-shard-{job.run_id}", shard.index, uuid4().hex)
    return submit(client, derain_shard, job, shard, key=key)


def halved(shard: Shard) -> list[Shard]:
    """Cut a shard in two; an image alone gives nothing."""
    middle = len(shard.refs) // 2
    parts = (shard.refs[:middle], shard.refs[middle:]) if middle else ()
    return [Shard(shard.index, part, shard.replace) for part in parts]


@task(name="wave", task_run_name="wave-{number}", cache_policy=NO_CACHE)
def finish_wave(
    number: int, wave: Results, catalog: Catalog, lease: Lease, tell: Callable[[ShardResult], None]
) -> None:
    """Wait for the shards of a wave, then commit their rows.

    Parameters
    ----------
    number : int
        Shown as the task run's name.
    wave : Results
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
    finish: Callable[[int, Results], bool],
) -> None:
    """Send shards off in waves and finish each, always with the next one under way already.

    Ends early when `finish` says that a wave got nothing done: then the world is at fault, and later images
    would only wait for the same time-outs.
    """
    under_way: deque[tuple[int, Wave]] = deque()
    suspects: list[Shard] = []
    for number in itertools.count(1):
        chosen = list(itertools.islice(shards, wave_shards))
        if chosen:
            under_way.append((number, Wave(client, job, chosen)))
        if not under_way:
            break
        if len(under_way) > 1 or not chosen:
            finishing, wave = under_way.popleft()
            got_on = finish(finishing, wave)
            suspects += wave.suspects
            fault_point("between-waves")
            if not got_on and not wave.suspects:
                return
    if suspects:
        finish(number, Quarantine(client, job, suspects))

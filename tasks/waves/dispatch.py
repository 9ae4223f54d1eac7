"""Sending shards to workers, and what comes back of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol
from uuid import uuid4

from distributed import Client, Future
from distributed.client import ClosedClientError

from infra.cluster import submit
from infra.errors import TransientError
from infra.records import ImageRef
from tasks.waves.pending import Shard
from tasks.waves.shard_results import Row, ShardResult, Unfinished

SCHEDULER_GONE = "the Dask scheduler went away"


class Job(Protocol[Row]):
    """What workers do with each shard of a run; sent with it, so small, and without credentials."""

    @property
    def run_id(self) -> str:
        """The run."""

    def do(self, shard: Shard) -> ShardResult[Row]:
        """Do it, on a worker."""

    def try_without_image(self) -> bool:
        """Do as much of it as can be done without an image."""

    def killed_by(self, ref: ImageRef) -> Row:
        """Make the row of an image that kills the process that works on it, each time."""


@dataclass(frozen=True, slots=True)
class Finished(Generic[Row]):
    """A shard that came back from its worker, or was given up."""

    shard: Shard
    result: ShardResult[Row]


class Results(Protocol[Row]):
    """Shards under way, whose rows are committed together."""

    def results(self) -> Iterator[Finished[Row]]:
        """Yield shards as they come back."""


@dataclass(frozen=True, slots=True)
class Workers(Generic[Row]):
    """A cluster, what all shards have in common, and how long no shard may come back."""

    client: Client
    job: Job[Row]
    stall_seconds: float
    priority: int = 0
    """Higher: its shards go before what waits already."""

    def send(self, shard: Shard) -> Future:
        """Hand a shard to Dask.

        Raises
        ------
        TransientError
            If the scheduler went away.
        """
        # Tasks of one group wait at the scheduler, not at a worker that another one might kill.
        key = (f"derain-shard-{self.job.run_id}", shard.index, uuid4().hex)
        try:
            return submit(self.client, self.job.do, shard, key=key, priority=self.priority)
        except ClosedClientError as error:
            raise TransientError(SCHEDULER_GONE) from error

    def try_without_image(self) -> Future:
        """Let a worker show that it can do the work at all."""
        return submit(self.client, self.job.try_without_image)

    def stalled(self, shard: Shard) -> Finished[Row]:
        """Give up a shard for which nobody answers any more."""
        reason = (
            f"no shard came back for {self.stall_seconds:,g} s (DERAIN_STALL_SECONDS):"
            " workers hang or are gone, look at their logs"
        )
        return given_up(shard, reason)


def given_up(shard: Shard, reason: str) -> Finished[Row]:
    """Leave all images of a shard pending."""
    return Finished(shard, ShardResult((), tuple(Unfinished(ref.key, reason) for ref in shard.refs), 0.0))

"""Sending shards to workers, and what comes back of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol
from uuid import uuid4

from distributed import Client, Future
from distributed.client import ClosedClientError

from infra.cluster import submit
from infra.faults import WorldFault
from tasks.pending import Shard
from tasks.shards import ShardJob, ShardResult, Unfinished, can_derain, derain_shard

SCHEDULER_GONE = "the Dask scheduler went away"


@dataclass(frozen=True, slots=True)
class Finished:
    """A shard that came back from its worker, or was given up."""

    shard: Shard
    result: ShardResult


class Results(Protocol):
    """Shards under way, whose rows are committed together."""

    def results(self) -> Iterator[Finished]:
        """Yield shards as they come back."""


@dataclass(frozen=True, slots=True)
class Workers:
    """A cluster, what all shards have in common, and how long no shard may come back."""

    client: Client
    job: ShardJob
    stall_seconds: float

    def send(self, shard: Shard) -> Future:
        """Hand a shard to Dask.

        Raises
        ------
        WorldFault
            If the scheduler went away.
        """
        # Tasks of one group wait at the scheduler, not at a worker that another one might kill.
        key = (f"derain-shard-{self.job.run_id}", shard.index, uuid4().hex)
        try:
            return submit(self.client, derain_shard, self.job, shard, key=key)
        except ClosedClientError as error:
            raise WorldFault(SCHEDULER_GONE) from error

    def try_without_image(self) -> Future:
        """Let a worker show that it can derain at all."""
        return submit(self.client, can_derain, self.job)

    def stalled(self, shard: Shard) -> Finished:
        """Give up a shard for which nobody answers any more."""
        reason = (
            f"no shard came back for {self.stall_seconds:,g} s (DERAIN_STALL_SECONDS):"
            " workers hang or are gone, look at their logs"
        )
        return given_up(shard, reason)


def given_up(shard: Shard, reason: str) -> Finished:
    """Leave all images of a shard pending."""
    return Finished(shard, ShardResult((), tuple(Unfinished(ref.key, reason) for ref in shard.refs), 0.0))

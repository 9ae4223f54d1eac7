"""Waves of derain-batch: the rows of each are one commit, and it is one Prefect task run."""

from __future__ import annotations

from collections.abc import Callable

from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from infra.catalog.derained import Catalog
from infra.errors import STORAGE_ERRORS
from infra.failpoints import failpoint
from infra.records import DerainRecord
from infra.storage.lease import Lease, LeaseLost
from tasks.waves.dispatch import Results
from tasks.waves.shard_results import ShardResult

Derained = Results[DerainRecord]
Tell = Callable[[ShardResult[DerainRecord]], None]


@task(name="wave", task_run_name="wave-{number}", cache_policy=NO_CACHE)
def finish_wave(
    number: int, wave: Derained, catalog: Catalog, lease: Lease, tell: Tell
) -> State[None] | None:
    """Wait for the shards of a wave, then commit their rows; `number` is shown as the task run's name.

    A wave that cannot be recorded is a failed task run with the fault as its message, and no traceback.
    """
    try:
        record_wave(wave, catalog, lease, tell)
    except (*STORAGE_ERRORS, LeaseLost) as fault:
        return Failed(message=str(fault))
    return None


def record_wave(wave: Derained, catalog: Catalog, lease: Lease, tell: Tell) -> None:
    """Wait for the shards of a wave, then commit their rows.

    Parameters
    ----------
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
    TransientError, ObjectNotFound, AccessDenied
        If the lease or the catalog cannot be reached.
    """
    fresh: list[DerainRecord] = []
    again: list[DerainRecord] = []
    for finished in wave.results():
        (again if finished.shard.replace else fresh).extend(finished.result.records)
        tell(finished.result)
    lease.check()
    failpoint("before-commit")
    catalog.commit(fresh, replace=False)
    catalog.commit(again, replace=True)
    failpoint("after-commit")

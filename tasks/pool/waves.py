"""Waves of an ingest: what was looked at is judged, its crops are written, and all of it is one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from distributed import Client
from prefect import State, task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from infra.catalog.pool import Pool, Split
from infra.catalog.pool_zarr import make_room
from infra.errors import STORAGE_ERRORS
from infra.failpoints import failpoint
from infra.records import ImageRef, PoolRecord
from infra.storage.lease import Lease, LeaseLost
from tasks.pool.cropping import CropJob, CropShard
from tasks.pool.inspection import InspectedImage
from tasks.pool.known_images import KnownImages, image_id
from tasks.pool.rows import Origin, judge, place, pool_rows
from tasks.waves.dispatch import Results, Workers
from tasks.waves.shard_results import ShardResult, Unfinished
from tasks.waves.wave import Wave

LookedTell = Callable[[ShardResult[InspectedImage]], None]
FIRST = 10
"""Priority of crops to be written: before images of the next wave that wait to be looked at."""


@dataclass(frozen=True, slots=True)
class PoolWriter:
    """Where the waves of one source go."""

    pool: Pool
    lease: Lease
    client: Client
    job: CropJob
    origin: Origin
    splits: Mapping[str, Split]
    known: KnownImages
    stall_seconds: float
    replace: bool
    """Whether rows of images that were rejected earlier are replaced."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """The rows of a wave that were committed, and the images whose crops could not be written."""

    rows: tuple[PoolRecord, ...]
    unfinished: tuple[Unfinished, ...]


@task(name="ingest-wave", task_run_name="ingest-wave-{number}", cache_policy=NO_CACHE)
def finish_ingest_wave(
    number: int,
    wave: Results[InspectedImage],
    writer: PoolWriter,
    tell: LookedTell,
    count: Callable[[Recorded], None],
) -> State[None] | None:
    """Record a wave; `number` is shown as the task run's name. What cannot be recorded is a failed task run."""
    try:
        count(record_ingest_wave(wave, writer, tell))
    except (*STORAGE_ERRORS, LeaseLost) as fault:
        return Failed(message=str(fault))
    return None


def record_ingest_wave(wave: Results[InspectedImage], writer: PoolWriter, tell: LookedTell) -> Recorded:
    """Wait for the images of a wave, write the crops of those that are accepted, then commit.

    Which images are accepted, and which split they get, depends on their order in the listing alone, not on
    waves: a run that was killed and run again ends with the same crops.

    Parameters
    ----------
    wave : Results
        Images that are being looked at.
    writer : PoolWriter
        Where they go.
    tell : callable
        Told of each shard that came back.

    Raises
    ------
    LeaseLost
        If another ingest works on the pool now; nothing was committed.
    TransientError, ObjectNotFound, AccessDenied
        If the lease, the pool or its catalog cannot be reached.
    """
    origin, known = writer.origin, writer.known
    candidates = judge(origin.source, _in_order(wave, tell), known.gallery)
    first = known.next_shard(origin.zarr_group)
    shards = list(place(candidates, first))
    failed = _write(shards, writer)
    failed_ids = {image_id(origin.source, ref) for ref in failed}
    known.gallery.remove(failed_ids)
    rows = tuple(
        row
        for row in pool_rows(candidates, origin, writer.splits, first)
        if row.image_id not in failed_ids and row.duplicate_of not in failed_ids
    )
    writer.lease.check()
    failpoint("before-pool-commit")
    writer.pool.commit(rows, replace=writer.replace)
    failpoint("after-pool-commit")
    known.shards.update((origin.zarr_group, shard.index) for shard in shards)
    return Recorded(rows, tuple(Unfinished(ref.key, reason) for ref, reason in failed.items()))


def _in_order(wave: Results[InspectedImage], tell: LookedTell) -> list[InspectedImage]:
    """Collect what was looked at, in the order of the listing."""
    found: list[tuple[int, int, InspectedImage]] = []
    for finished in wave.results():
        place_of = {ref: at for at, ref in enumerate(finished.shard.refs)}
        found += [(finished.shard.index, place_of[image.ref], image) for image in finished.result.records]
        tell(finished.result)
    return [image for *_, image in sorted(found, key=lambda entry: entry[:2])]


def _write(shards: list[CropShard], writer: PoolWriter) -> dict[ImageRef, str]:
    """Write Zarr shards; return the images of which a crop was not written, and why."""
    if not shards:
        return {}
    make_room(writer.job.workspace, writer.job.group, shards[-1].index + 1)
    wave: Wave[ImageRef] = Wave(Workers(writer.client, writer.job, writer.stall_seconds, FIRST), iter(shards))
    failed: dict[ImageRef, str] = {}
    for finished in wave.results():
        reasons = {image.key: image.reason for image in finished.result.unfinished}
        for ref in set(finished.shard.refs) - set(finished.result.records):
            failed[ref] = reasons[ref.key]
    for shard in wave.suspects:
        failed |= dict.fromkeys(shard.refs, "the process that writes its crops dies each time")
    return failed

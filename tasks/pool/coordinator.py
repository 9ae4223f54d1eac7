"""One run of ingest: plan under the lease, sweep, look at images in waves, write and record their crops, sum up."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from distributed import Client
from prefect.exceptions import FailedRun

from infra import cluster
from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import FOLDER, group_name, sweep
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.location import open_location
from tasks.codec.exports import Export
from tasks.media.leaving_out import left_out_parts, nothing_but
from tasks.media.medium import MediumSpec
from tasks.pool.cropping import CropJob
from tasks.pool.inspection import InspectedImage, InspectJob
from tasks.pool.known_images import KnownImages, read_known
from tasks.pool.planning import IngestPlan, SourcePlan, plan_ingest
from tasks.pool.rows import Origin
from tasks.pool.sources import IngestSource
from tasks.pool.splits import VALIDATION
from tasks.pool.summary import IngestSummary, IngestTally
from tasks.pool.waves import PoolWriter, Recorded, finish_ingest_wave
from tasks.progress import Progress
from tasks.refusals import PreflightFailed
from tasks.waves.dispatch import Results, Workers
from tasks.waves.pending import ShardLimits, cut
from tasks.waves.shard_results import Unfinished
from tasks.waves.wave import run_waves

Again = Literal["none", "rejected"]
REASONS_TOLD = 3
"""Pending images that the run's message names."""


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """Which run this is, and whether what was rejected earlier is looked at again."""

    run_id: str
    started_at: datetime
    redo: Again = "none"


@dataclass(slots=True)
class _Run:
    """What the waves of a run have in common."""

    settings: Settings
    request: IngestRequest
    pool: Pool
    lease: Lease
    known: KnownImages
    plan: IngestPlan
    progress: Progress
    tally: IngestTally = field(default_factory=IngestTally)


def make_ingest_plan(
    settings: Settings, sources: Sequence[IngestSource], request: IngestRequest
) -> tuple[IngestPlan, KnownImages]:
    """Find out what is to do, and what the pool knows already.

    Raises
    ------
    PreflightFailed
        If the sources have no image that the globs take.
    """
    limits = settings.ingest
    known = read_known(
        Pool(settings.workspace), limits.near_duplicate_bits, rejected_too=request.redo == "none"
    )
    plan = plan_ingest(sources, known, limits)
    if plan.listed == 0:
        plan.close()
        names = ", ".join(each.source.base for each in sources)
        raise PreflightFailed(
            f"{names}: no images there ({nothing_but(plan.left_out)}; --include says which to take)"
        )
    return plan, known


def ingest_line(plan: IngestPlan) -> str:
    """Tell a plan in one line."""
    return (
        f"{plan.pending:,} of {plan.listed:,} images are to be looked at, {len(plan.splits):,} source groups,"
        f" {sum(split == VALIDATION for split in plan.splits.values()):,} of them for validation"
        f"{''.join(f'; {part}' for part in left_out_parts(plan.left_out))}"
    )


def ingest_pending(
    settings: Settings, sources: Sequence[IngestSource], request: IngestRequest
) -> IngestSummary:
    """Bring into the pool what it does not know yet.

    Raises
    ------
    LeaseHeld
        If another run works on the pool.
    """
    pool_url = f"{settings.workspace}/{FOLDER}"
    with lease_of(settings, pool_url, request.run_id) as lease:
        plan, known = make_ingest_plan(settings, sources, request)
        with closing(plan):
            open_location(settings.workspace).sweep()
            sweep(settings.workspace, known.shards)
            pool = Pool(settings.workspace)
            with Progress(plan.pending, "ingest") as progress:
                run = _Run(settings, request, pool, lease, known, plan, progress)
                if plan.pending:
                    _work(run)
            if not run.tally.stopped_by:
                pool.maintain()
            return _summary(run)


def _work(run: _Run) -> None:
    """Take one source after the other; stop early when a whole wave comes back with nothing recorded."""
    settings = run.settings
    with cluster.connect(settings) as client:
        number = cluster.worker_count(client)
        limits = ShardLimits(settings.shard_images, settings.shard_pixels, number)
        for source in run.plan.sources:
            writer = _writer(run, client, source)
            job = InspectJob(writer.job.medium, settings.ingest, run.request.run_id)
            shards = cut(source.pending.refs(), source.pixels, limits)
            finisher = _Finisher(run, writer)
            run_waves(
                Workers(client, job, settings.stall_seconds),
                shards,
                settings.wave_shards * number,
                finisher.finish,
            )
            if finisher.is_stuck:
                return


def _writer(run: _Run, client: Client, source: SourcePlan) -> PoolWriter:
    settings, run_id = run.settings, run.request.run_id
    group = group_name(run_id)
    pool_url = f"{settings.workspace}/{FOLDER}"  # nothing is put there through the medium
    medium = MediumSpec(source.source, pool_url, Export("png"), settings.max_pixels, source.frames)
    return PoolWriter(
        pool=run.pool,
        lease=run.lease,
        client=client,
        job=CropJob(medium, settings.workspace, group, run_id),
        origin=Origin(source.source, run_id, settings.ingest.group_pattern, group),
        splits=run.plan.splits,
        known=run.known,
        stall_seconds=settings.stall_seconds,
        replace=run.request.redo == "rejected",
    )


class _Finisher:
    """Finishes the waves of one source."""

    def __init__(self, run: _Run, writer: PoolWriter) -> None:
        self.is_stuck = False
        self._run = run
        self._writer = writer

    def finish(self, number: int, wave: Results[InspectedImage]) -> bool:
        """Record a wave; tell whether that got the run on."""
        tally = self._run.tally
        before = tally.recorded
        try:
            finish_ingest_wave(number, wave, self._writer, self._run.progress.tell, self._count)
        except FailedRun as fault:
            tally.stopped_by = str(fault)
        self.is_stuck = tally.recorded == before
        return not self.is_stuck

    def _count(self, recorded: Recorded) -> None:
        self._run.tally.add(recorded.rows)
        self._run.tally.unfinished.extend(recorded.unfinished)


def _summary(run: _Run) -> IngestSummary:
    tally, plan = run.tally, run.plan
    pending = plan.pending - tally.recorded
    return IngestSummary(
        run_id=run.request.run_id,
        state="Failed" if pending else "Completed",
        message=_pending_line(run, pending) if pending else _advice(run),
        sources=tuple(source.source for source in plan.sources),
        started_at=run.request.started_at,
        finished_at=datetime.now(UTC),
        listed=plan.listed,
        left_out=plan.left_out,
        known_before=plan.listed - plan.pending,
        accepted=tally.accepted,
        reasons=tally.most_common(),
        pending=pending,
        train_crops=tally.train_crops,
        validation_crops=tally.validation_crops,
        pool_crops=run.pool.count(),
    )


def _pending_line(run: _Run, pending: int) -> str:
    reasons = [run.tally.stopped_by] if run.tally.stopped_by else []
    unfinished: list[Unfinished] = [*run.progress.tally.unfinished, *run.tally.unfinished]
    reasons += [f"{image.key}: {image.reason}" for image in unfinished[:REASONS_TOLD]]
    return f"{pending:,} images are still pending, run it again to go on with them ({'; '.join(reasons)})"


def _advice(run: _Run) -> str:
    """Say what to look at where the pool is of no use for training as it is."""
    splits = run.pool.splits()
    if not splits:
        return "the pool is still empty: no image was accepted (limits: DERAIN_INGEST__MIN_SIDE and so on)"
    if VALIDATION not in splits and run.settings.ingest.validation_share > 0:
        return (
            "nothing for validation: the accepted images are of one source group, or of groups that train;"
            " DERAIN_INGEST__GROUP_PATTERN tells groups apart"
        )
    return ""

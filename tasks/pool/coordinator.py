"""The coordinator of one ingest run (`ingest_pending`): plan under the lease, sweep, run each source, summarise."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from infra.catalog.pool import Pool
from infra.catalog.pool_zarr import FOLDER, group_name, sweep
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.location import open_location
from tasks.codec.exports import Export
from tasks.media.leaving_out import describe_left_out, left_out_parts
from tasks.media.medium import MediumSpec
from tasks.pool.cropping import CropJob
from tasks.pool.inspection import InspectJob
from tasks.pool.known_images import KnownImages, read_known
from tasks.pool.planning import IngestPlan, SourcePlan, plan_ingest
from tasks.pool.rows import Origin
from tasks.pool.sources import IngestSource
from tasks.pool.splits import VALIDATION
from tasks.pool.stage import InspectStage, PoolTarget
from tasks.pool.summary import IngestSummary, IngestTally
from tasks.prefect_runs import attempt
from tasks.progress import Progress
from tasks.readable import most_frequent
from tasks.refusals import PreflightFailed
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import Executor, OpenExecutor
from tasks.waves.runner import Listener, Pace, run_stage
from tasks.waves.tally import Tally

IngestRedo = Literal["none", "rejected"]


@dataclass(frozen=True, slots=True)
class IngestRequest:
    """The run's identity, and whether images that were rejected earlier are inspected again."""

    run_id: str
    started_at: datetime
    redo: IngestRedo = "none"


@dataclass(frozen=True, slots=True)
class _Run:
    """State that all sources of a run share."""

    settings: Settings
    request: IngestRequest
    pool: Pool
    lease: Lease
    known: KnownImages
    plan: IngestPlan
    tally: IngestTally = field(default_factory=IngestTally)


def make_ingest_plan(
    settings: Settings, sources: Sequence[IngestSource], request: IngestRequest
) -> tuple[IngestPlan, KnownImages]:
    """List the sources and compare them with the images that the pool already knows.

    Raises
    ------
    PreflightFailed
        If no image of the sources matches the globs.
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
            f"{names}: no images there ({describe_left_out(plan.left_out)}; --include selects others)"
        )
    return plan, known


def ingest_line(plan: IngestPlan) -> str:
    """Describe a plan in one line."""
    return (
        f"{plan.pending:,} of {plan.listed:,} images to inspect, {len(plan.splits):,} source groups,"
        f" {sum(split == VALIDATION for split in plan.splits.values()):,} of them for validation"
        f"{''.join(f'; {part}' for part in left_out_parts(plan.left_out))}"
    )


def ingest_pending(
    settings: Settings,
    sources: Sequence[IngestSource],
    request: IngestRequest,
    open_executor: OpenExecutor = on_dask,
) -> IngestSummary:
    """Add all images to the pool that it does not know yet.

    Parameters
    ----------
    settings : Settings
        Budgets, limits and the cluster.
    sources : sequence of IngestSource
        Where the images are.
    request : IngestRequest
        The run's identity and options.
    open_executor : OpenExecutor
        Opens the workers; called only if there is work.

    Raises
    ------
    LeaseHeld
        If another run is working on the pool.
    """
    pool_url = f"{settings.workspace}/{FOLDER}"
    with lease_of(settings, pool_url, request.run_id) as lease:
        plan, known = make_ingest_plan(settings, sources, request)
        with closing(plan):
            open_location(settings.workspace).sweep()
            sweep(settings.workspace, known.shards)
            run = _Run(settings, request, Pool(settings.workspace), lease, known, plan)
            seen = Tally()
            with Progress(plan.pending, "ingest") as progress:
                if plan.pending:
                    with open_executor(settings) as executor:
                        seen = _work(run, executor, progress.show)
            if seen.stopped_by is None:
                attempt("compacting the pool", run.pool.maintain)
            return _summary(run, seen)


def _work(run: _Run, executor: Executor, listener: Listener) -> Tally:
    """Run the sources one after the other; stop early if storage or workers fail."""
    seen, pace = Tally(), Pace.of(run.settings)
    for source in run.plan.sources:
        stage = _stage(run, source, executor)
        seen += run_stage(stage, run.lease, executor, pace, _after(seen, listener))
        if seen.has_ended_early:
            break
    return seen


def _after(before: Tally, listener: Listener) -> Listener:
    """Wrap a listener so that it sees the totals including earlier sources."""
    return lambda now: listener(before + now)


def _stage(run: _Run, source: SourcePlan, executor: Executor) -> InspectStage:
    settings, run_id = run.settings, run.request.run_id
    group = group_name(run_id)
    pool_url = f"{settings.workspace}/{FOLDER}"  # the medium never writes to it
    medium = MediumSpec(source.source, pool_url, Export("png"), settings.max_pixels, source.frames)
    target = PoolTarget(
        pool=run.pool,
        lease=run.lease,
        origin=Origin(source.source, run_id, settings.ingest.group_pattern, group),
        splits=run.plan.splits,
        known=run.known,
        replace=run.request.redo == "rejected" or run.known.has_archived,
    )
    return InspectStage(
        settings=settings,
        source=source,
        job=InspectJob(medium, settings.ingest, run_id),
        crop_job=CropJob(medium, settings.workspace, group, run_id),
        target=target,
        executor=executor,
        tally=run.tally,
    )


def _summary(run: _Run, seen: Tally) -> IngestSummary:
    tally, plan = run.tally, run.plan
    pending = plan.pending - tally.recorded
    return IngestSummary(
        run_id=run.request.run_id,
        state="Failed" if pending else "Completed",
        message=seen.pending_line(pending)
        if pending
        else attempt("looking at the pool", lambda: _advice(run)) or "",
        sources=tuple(source.source for source in plan.sources),
        started_at=run.request.started_at,
        finished_at=datetime.now(UTC),
        listed=plan.listed,
        left_out=plan.left_out,
        known_before=plan.listed - plan.pending,
        accepted=tally.accepted,
        reasons=dict(most_frequent(tally.reasons)),
        pending=pending,
        train_crops=tally.train_crops,
        validation_crops=tally.validation_crops,
        pool_crops=attempt("counting the pool's crops", run.pool.count) or 0,
    )


def _advice(run: _Run) -> str:
    """Suggest what to check if the pool cannot be used for training yet."""
    splits = attempt("looking at the pool", run.pool.splits)
    if splits is None:
        return ""
    if not splits:
        return "the pool is still empty: no image was accepted (limits: DERAIN_INGEST__MIN_SIDE and so on)"
    if VALIDATION not in splits and run.settings.ingest.validation_share > 0:
        return (
            "nothing for validation: the accepted images belong to one source group, or to groups in training;"
            " DERAIN_INGEST__GROUP_PATTERN defines the groups"
        )
    return ""

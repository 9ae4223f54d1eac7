"""One run of derain-batch: plan under the lease, send waves, commit them, sum up."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from prefect.exceptions import FailedRun

from infra import cluster
from infra.catalog.derained import Catalog
from infra.records import DerainRecord
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.listing import LeftOut
from infra.storage.location import open_location
from tasks.batch.planning import Plan, PlanCounts, PlanRequest, Redo, plan
from tasks.batch.preflight import Prepared, refuse_full_disk
from tasks.batch.shards import ShardJob
from tasks.batch.summary import Counts, RunSummary
from tasks.batch.waves import finish_wave
from tasks.media.leaving_out import left_out_parts, nothing_but
from tasks.media.sources import Selection
from tasks.progress import Progress
from tasks.readable import with_reasons
from tasks.refusals import PreflightFailed
from tasks.waves.dispatch import Results, Workers
from tasks.waves.loaded import StagedModel, stage
from tasks.waves.pending import ShardLimits
from tasks.waves.wave import Tally, run_waves

REASONS_TOLD = 3
"""Pending images that the run's message names."""


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """Which run this is and which images it takes."""

    run_id: str
    started_at: datetime
    selection: Selection
    redo: Redo


def make_plan(prepared: Prepared, request: BatchRequest, catalog: Catalog) -> Plan:
    """Find out what is to do.

    Raises
    ------
    PreflightFailed
        If the source has no image that the globs take.
    """
    selection = request.selection
    if prepared.medium.frames and not selection.include:
        selection = replace(selection, include=("*",))  # the number of a frame is not named like an image
    plan_request = PlanRequest(prepared.scope, selection, request.redo, prepared.model.model_file.digest)
    left_out, destination = LeftOut(), prepared.scope.destination
    listing = prepared.source.refs(selection.rules(left_out, barred=destination))
    found = plan(plan_request, catalog, listing, open_location(destination).list(), left_out)
    if found.counts.listed == 0:
        with found:
            raise PreflightFailed(
                f"{prepared.scope.source}: no images there ({nothing_but(left_out)};"
                " --include says which to take)"
            )
    return found


def plan_line(counts: PlanCounts) -> str:
    """Account for every object of a source in one line."""
    rejected = sum(counts.rejected_for.values())
    parts = [
        f"{counts.derained:,} done",
        with_reasons(f"{rejected:,} rejected", counts.rejected_for),
        f"{counts.pending:,} pending ({counts.pending_bytes / 1e6:,.1f} MB)",
    ]
    parts += left_out_parts(counts.left_out)
    among = f"; {counts.stale:,} by an older model, {counts.gone:,} whose output is gone"
    return f"{counts.objects:,} objects: {', '.join(parts)}{among}"


def derain_pending(settings: Settings, prepared: Prepared, request: BatchRequest) -> RunSummary:
    """Derain what is to do and record it.

    Raises
    ------
    LeaseHeld
        If another run works on the destination.
    """
    catalog = Catalog(settings.workspace)
    with (
        lease_of(settings, prepared.scope.destination, request.run_id) as lease,
        make_plan(prepared, request, catalog) as found,
    ):
        counts = found.counts
        for url in (prepared.scope.destination, settings.workspace):
            open_location(url).sweep()
        refuse_full_disk(settings, prepared.scope.destination, prepared.medium.export, counts.pending_bytes)
        model = prepared.model
        if prepared.medium.frames:
            prepare_frames(prepared.scope.source, prepared.scope.destination)
        staged = stage(model.model_file, model.name, model.version, settings.workspace)
        with Progress(counts.pending) as progress:
            if counts.pending:
                _work(settings, _job(settings, prepared, request, staged), found, catalog, lease, progress)
        if not progress.tally.stopped_by:
            catalog.maintain()
    return _summary(prepared, request, counts, progress, staged)


def prepare_frames(source: str, destination: str) -> None:
    """Create the destination array of a run over frames."""
    from tasks.media.frames import prepare_destination  # Zarr only where it is used

    prepare_destination(source, destination)


def _job(settings: Settings, prepared: Prepared, request: BatchRequest, staged: StagedModel) -> ShardJob:
    return ShardJob(
        prepared.scope, prepared.medium, staged, request.run_id, settings.device, settings.tile_pixels
    )


def _work(
    settings: Settings, job: ShardJob, found: Plan, catalog: Catalog, lease: Lease, progress: Progress
) -> None:
    """Run all waves; stop early when a whole wave comes back with nothing done."""

    def finish(number: int, wave: Results[DerainRecord]) -> bool:
        before = progress.tally.snapshot()
        try:
            finish_wave(number, wave, catalog, lease, progress.tell)
        except FailedRun as fault:  # its outputs are there, but without rows they are to do again
            before.stopped_by = str(fault)
            progress.tally = before
            return False
        return progress.tally.recorded > before.recorded

    with cluster.connect(settings) as client:
        number = cluster.worker_count(client)
        shards = found.shards(ShardLimits(settings.shard_images, settings.shard_pixels, number))
        run_waves(Workers(client, job, settings.stall_seconds), shards, settings.wave_shards * number, finish)


def _summary(
    prepared: Prepared, request: BatchRequest, planned: PlanCounts, progress: Progress, staged: StagedModel
) -> RunSummary:
    tally = progress.tally
    counts = Counts(
        listed=planned.listed,
        skipped=planned.skipped,
        done_before=planned.done,
        derained=tally.done,
        rejected=tally.rejected,
        pending=planned.pending - tally.recorded,
        rejected_for=dict(tally.reasons),
        rejected_before=planned.rejected_for,
        left_out=planned.left_out,
    )
    return RunSummary(
        run_id=request.run_id,
        state="Failed" if counts.pending else "Completed",
        message=_pending_line(counts.pending, tally) if counts.pending else "",
        scope=prepared.scope,
        model_name=staged.name,
        model_version=staged.version,
        model_digest=staged.digest,
        started_at=request.started_at,
        finished_at=datetime.now(UTC),
        counts=counts,
        pixels=tally.pixels,
        wall_seconds=progress.seconds,
        image_seconds=tally.image_seconds,
    )


def _pending_line(pending: int, tally: Tally) -> str:
    reasons = [tally.stopped_by] if tally.stopped_by else []
    keys_of: dict[str, list[str]] = {}
    for image in tally.unfinished[:REASONS_TOLD]:
        keys_of.setdefault(image.reason, []).append(image.key)
    reasons += [f"{', '.join(keys)}: {reason}" for reason, keys in keys_of.items()]
    return f"{pending:,} images are still pending, run it again to go on with them ({'; '.join(reasons)})"

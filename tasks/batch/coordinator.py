"""The coordinator of one derain-batch run (`derain_pending`): plan under the lease, run the stage, summarise."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from infra.catalog.derained import Catalog
from infra.records import Scope
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.listing import LeftOut
from infra.storage.location import open_location
from infra.storage.name_folding import NameFolding, probe_name_folding
from tasks.batch.observing import FlowObserver, RunObserver
from tasks.batch.planning.collisions import COLLISION, record_collisions
from tasks.batch.planning.known_outputs import list_outputs
from tasks.batch.planning.originals import refuse_originals
from tasks.batch.planning.plan import Plan, PlanCounts, PlanRequest, Redo, plan
from tasks.batch.planning.rivals import refuse_contested
from tasks.batch.preflight import PreparedRun, refuse_full_disk
from tasks.batch.summary import Counts, RunSummary
from tasks.batch.verification import Loss, Recorded, find_loss
from tasks.media.leaving_out import describe_left_out, left_out_parts
from tasks.media.sources import Selection
from tasks.prefect_runs import attempt
from tasks.readable import with_reasons
from tasks.refusals import PreflightFailed
from tasks.resolved_model import require_usable
from tasks.waves.tally import Tally

if TYPE_CHECKING:
    from tasks.batch.stage import DerainStage


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """The run's identity and its selection of images."""

    run_id: str
    started_at: datetime
    selection: Selection
    redo: Redo
    named_rejects: int = 0
    """See `PlanRequest.named_rejects`."""


def make_plan(
    prepared: PreparedRun, request: BatchRequest, catalog: Catalog, folding: NameFolding | None = None
) -> Plan:
    """Plan a run: classify the images of the source.

    Parameters
    ----------
    prepared : PreparedRun
        Source, destination and model.
    request : BatchRequest
        The selection of images.
    catalog : Catalog
        The catalog, which says which images are done.
    folding : NameFolding, optional
        How the destination folds names. Detecting it writes a file, so a read-only caller assumes no folding.

    Raises
    ------
    PreflightFailed
        If no image of the source matches the globs, or an output belongs to another image or would replace one.
    AccessDenied, StorageError
        If source or destination cannot be listed, or a folder of the destination that holds outputs.
    """
    wanted = _plan_request(prepared, request, folding or NameFolding())
    left_out, destination = LeftOut(), prepared.scope.destination
    listing = prepared.source.refs(wanted.selection.rules(left_out, barred=destination))
    outputs = list_outputs(catalog, destination, wanted.folding)
    found = plan(wanted, catalog, listing, outputs, left_out)
    try:
        if found.counts.listed == 0:
            raise PreflightFailed(
                f"{prepared.scope.source}: no images there ({describe_left_out(left_out)};"
                " --include selects others)"
            )
        refuse_contested(found.contest, catalog, prepared.scope)
        refuse_originals(found, catalog, prepared.scope, frames=prepared.medium.frames)
    except BaseException:
        found.close()
        raise
    return found


def _plan_request(prepared: PreparedRun, request: BatchRequest, folding: NameFolding) -> PlanRequest:
    selection = request.selection.apart_from(prepared.workspace, prepared.scope.source)
    frames, digest = prepared.medium.frames, prepared.model.model_file.digest
    if frames and not selection.include:
        selection = replace(selection, include=("*",))  # keys of frames are numbers and have no image suffix
    return PlanRequest(
        prepared.scope, selection, request.redo, digest, frames, folding, request.named_rejects
    )


def plan_line(counts: PlanCounts) -> str:
    """Count all objects of a source by category, in one line."""
    rejected = sum(counts.rejected_for.values())
    made = ", ".join(f"{each.images:,} by {each.label}" for each in counts.made_by)
    parts = [
        f"{counts.derained:,} done{f' ({made})' if made else ''}",
        with_reasons(f"{rejected:,} rejected", counts.rejected_for),
        f"{counts.pending:,} pending ({counts.pending_bytes / 1e6:,.1f} MB)",
    ]
    if counts.colliding:
        parts.append(f"{counts.colliding:,} to reject ({COLLISION})")
    parts += left_out_parts(counts.left_out)
    lost = {
        "is missing": counts.gone,
        "was truncated or replaced": counts.replaced,
        "was overwritten": counts.overwritten,
    }
    among = [f"{counts.stale:,} by another model"]
    among += [f"{images:,} whose output {what}" for what, images in lost.items() if images]
    return f"{counts.objects:,} objects: {', '.join(parts)}; {', '.join(among)}"


def derain_pending(
    settings: Settings, prepared: PreparedRun, request: BatchRequest, observer: RunObserver | None = None
) -> RunSummary:
    """Derain the pending images and record them.

    Parameters
    ----------
    settings : Settings
        Budgets and the cluster.
    prepared : PreparedRun
        The result of `prepare`.
    request : BatchRequest
        The run's identity and selection.
    observer : RunObserver, optional
        Shows the plan and the progress, and opens the workers; by default `FlowObserver`.

    Raises
    ------
    LeaseHeld
        If another run is working on the destination.
    LeaseLost
        If another run has taken over the destination before the work begins.
    ModelFileInvalid
        If there is work and the model cannot be used.
    """
    catalog, scope, observer = Catalog(settings.workspace), prepared.scope, observer or FlowObserver()
    folding, started = probe_name_folding(scope.destination), time.monotonic()
    with (
        lease_of(settings, scope.destination, request.run_id) as lease,
        make_plan(prepared, request, catalog, folding) as found,
    ):
        if _has_work(found):
            require_usable(prepared.model)
        _make_room(settings, prepared, found.counts)
        observer.planned(found, lease.follows_death)
        stage = _stage(settings, prepared, request, found, catalog) if _has_work(found) else None
        if stage and found.collisions:
            lease.check()
            record_collisions(found.collisions, stage.job, catalog)
        clock = RunClock({"planning": time.monotonic() - started})
        tally = _derain(settings, stage, found.counts, lease, observer)
        clock.ends("deraining")
        recorded = Recorded(request.run_id, tally.recorded, found.catalog_version)
        loss = attempt("verifying the outputs", lambda: find_loss(catalog, scope, recorded, folding))
        clock.ends("verifying")
        if stage and not tally.stopped_by:
            attempt("compacting the catalog", catalog.maintain)
    return _summary(prepared, request, found.counts, tally, clock.seconds, loss or Loss())


class RunClock:
    """Wall time of the parts of a run, in seconds."""

    def __init__(self, seconds: Mapping[str, float]) -> None:
        self.seconds = dict(seconds)
        self._since = time.monotonic()

    def ends(self, part: str) -> None:
        """Record that a part ends now, and that the next one begins."""
        now = time.monotonic()
        self.seconds[part], self._since = now - self._since, now


def _has_work(found: Plan) -> bool:
    return found.counts.pending > 0 or bool(found.collisions)


def _stage(
    settings: Settings, prepared: PreparedRun, request: BatchRequest, found: Plan, catalog: Catalog
) -> DerainStage:
    """Write the model for workers to the workspace, and return the stage of this run."""
    from tasks.batch.shards import ShardJob
    from tasks.batch.stage import DerainStage
    from tasks.workers.loaded import stage_model

    model = prepared.model
    staged = stage_model(model.model_file, model.name, model.version, settings.workspace)
    job = ShardJob(
        prepared.scope, prepared.medium, staged, request.run_id, settings.device, settings.tile_pixels
    )
    return DerainStage(settings, found, job, catalog)


def _derain(
    settings: Settings, stage: DerainStage | None, counts: PlanCounts, lease: Lease, observer: RunObserver
) -> Tally:
    """Run the stage, if images are pending, and show its progress."""
    with observer.progress(counts.pending) as progress:
        if stage is None or not counts.pending:
            return Tally()
        from tasks.waves.runner import Pace, run_stage  # imports Dask only if there is work

        with observer.executor(settings, counts, lease.follows_death) as executor:
            return run_stage(stage, lease, executor, Pace.of(settings), progress.show)


def _make_room(settings: Settings, prepared: PreparedRun, counts: PlanCounts) -> None:
    """Delete remains of killed runs, refuse a disk that is too full, and create the array for frames."""
    for url in (prepared.scope.destination, settings.workspace):
        open_location(url).sweep()
    refuse_full_disk(settings, prepared.scope.destination, prepared.medium.export, counts.pending_bytes)
    if prepared.medium.frames:
        from tasks.media.frames import prepare_destination  # imports Zarr only if needed

        prepare_destination(prepared.scope.source, prepared.scope.destination)


def _summary(
    prepared: PreparedRun,
    request: BatchRequest,
    planned: PlanCounts,
    tally: Tally,
    stage_seconds: Mapping[str, float],
    loss: Loss,
) -> RunSummary:
    counts = _counts(planned, tally, loss)
    return RunSummary(
        run_id=request.run_id,
        state="Failed" if counts.pending else "Completed",
        message=_message(prepared.scope, counts.pending, tally, loss),
        scope=prepared.scope,
        model_name=prepared.model.name,
        model_version=prepared.model.version,
        model_digest=prepared.model.model_file.digest,
        started_at=request.started_at,
        finished_at=datetime.now(UTC),
        counts=counts,
        pixels=tally.pixels,
        wall_seconds=stage_seconds["deraining"],
        image_seconds=tally.image_seconds,
        made_before=planned.made_by,
        stage_seconds=stage_seconds,
        phase_seconds=tally.phase_seconds,
    )


def _counts(planned: PlanCounts, tally: Tally, loss: Loss) -> Counts:
    return Counts(
        listed=planned.listed,
        skipped=planned.skipped,
        done_before=planned.done,
        derained=max(0, tally.done - loss.images),
        rejected=tally.rejected + planned.colliding,
        pending=planned.pending - tally.recorded + loss.images,
        rejected_for={**tally.reasons, **({COLLISION: planned.colliding} if planned.colliding else {})},
        rejected_before=planned.rejected_for,
        left_out=planned.left_out,
    )


def _message(scope: Scope, pending: int, tally: Tally, loss: Loss) -> str:
    """Return why images are pending; empty if none are."""
    if not pending:
        return ""
    if pending == loss.images:
        return f"{loss.line(scope.destination)}; run it again to derain these images again"
    return "; ".join(part for part in (loss.line(scope.destination), tally.pending_line(pending)) if part)

"""The coordinator of one curation (`curate_pool`): judge crops on workers, decide, store, record, publish.

Judged crops stay in the workspace until their rows are recorded; pixels of accepted ones are written to Zarr first.
A run that is killed at any point therefore leaves no half-committed group, and the next run judges nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from infra.catalog import pseudo_label_zarr
from infra.catalog.pseudo_label_zarr import PseudoPixels
from infra.catalog.pseudo_labels import PseudoLabels
from infra.failpoints import failpoint
from infra.records import PseudoLabelRecord
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from infra.storage.location import ObjectNotFound, open_location
from tasks.curation.acceptance import rule_on
from tasks.curation.judging import JUDGED_FOLDER, Judged, JudgingJob, read_judged
from tasks.curation.ledger_rows import LedgerStamp, candidates_of, history_of, ruled_row
from tasks.curation.planning import CurationPlan, CurationRequest, make_plan
from tasks.curation.review import publish_review
from tasks.curation.reviewers import crops_to_judge, reviewed_rows
from tasks.curation.stage import JudgeStage
from tasks.curation.streak_harvest import harvest_accepted
from tasks.curation.summary import CurationSummary, Decided
from tasks.prefect_runs import attempt
from tasks.progress import Progress
from tasks.resolved_model import ResolvedModel
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import OpenExecutor
from tasks.waves.loaded import StagedModel, stage
from tasks.waves.runner import Pace, run_stage
from tasks.waves.stage import Unfinished


@dataclass(frozen=True, slots=True)
class _Run:
    """The state of one curation: its request, its plan, and the ledger as it was at the start."""

    settings: Settings
    request: CurationRequest
    plan: CurationPlan
    ledger: pl.DataFrame


def curate_pool(
    settings: Settings, request: CurationRequest, open_executor: OpenExecutor = on_dask
) -> CurationSummary:
    """Judge the new crops of the pool, decide on them and record the decisions.

    Parameters
    ----------
    settings : Settings
        Budgets, limits and the cluster.
    request : CurationRequest
        The run's identity and the networks that judge.
    open_executor : OpenExecutor
        Opens the workers; called only if there is something to judge.

    Raises
    ------
    PreflightFailed, DecisionsInvalid
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    plan = make_plan(settings, request)
    with lease_of(settings, "pseudo-labels", request.run_id) as lease:
        labels = PseudoLabels(settings.workspace)
        ledger = labels.rows()
        groups = set(ledger["zarr_group"].drop_nulls())
        pseudo_label_zarr.sweep(settings.workspace, groups)
        run = _Run(settings, request, plan, ledger)
        wanted, waiting = _wanted(run)
        judged, pending = _judged(run, wanted, lease, open_executor)
        rows = _with_pixels(settings, _decided(run, judged), plan.judgement)
        lease.check()
        labels.commit(rows)
        failpoint("after-rows")
        streaks = harvest_accepted(settings.workspace, plan.crops)
        page = attempt(
            "the review page", lambda: publish_review(settings, plan.crops, rows or _last_run(ledger))
        )
        attempt("removing judged crops", lambda: _forget_judged(settings.workspace))
        attempt("compacting the ledger", labels.maintain)
        standing = attempt("counting pseudo-labels", lambda: labels.accepted().height) or 0
    return CurationSummary(Decided.of(rows), tuple(pending), waiting, standing, streaks, page)


def _wanted(run: _Run) -> tuple[pl.DataFrame, int]:
    """Return the crops to judge: those new to these networks, and those whose pixels a reviewer's decision needs.

    If there is a limit, crops with a reviewer's decision come first, then new crops in the order of their ids,
    which are hashes. The second value is the number of crops that the limit leaves for later runs.
    """
    plan, ledger = run.plan, run.ledger
    known = ledger.filter(pl.col("judgement") == plan.judgement, pl.col("reviewer_decision").is_null())
    is_asked = pl.col("crop_id").is_in(crops_to_judge(plan.decisions, plan.judgement, ledger))
    wanted = plan.crops.filter(~pl.col("crop_id").is_in(known["crop_id"].implode()) | is_asked)
    chosen = wanted.sort(~is_asked, "crop_id").head(run.request.limit or wanted.height)
    return chosen, wanted.height - chosen.height


def _judged(
    run: _Run, wanted: pl.DataFrame, lease: Lease, open_executor: OpenExecutor
) -> tuple[dict[str, Judged], list[Unfinished]]:
    """Judge the crops on workers."""
    if wanted.is_empty():
        return {}, []
    settings = run.settings
    judging = JudgeStage(settings, _job(run), wanted, run.plan.crops)
    with Progress(wanted.height, "curate", "crop") as progress, open_executor(settings) as executor:
        tally = run_stage(judging, lease, executor, Pace.of(settings), progress.show)
    reasons = {item.key: item.reason for item in tally.unfinished}
    missing = sorted(set(wanted["crop_id"]) - judging.judged.keys())
    why = tally.stopped_by or "left untried"
    return judging.judged, [Unfinished(crop_id, reasons.get(crop_id, why)) for crop_id in missing]


def _job(run: _Run) -> JudgingJob:
    settings, plan = run.settings, run.plan

    def staged(model: ResolvedModel) -> StagedModel:
        return stage(model.model_file, model.name, model.version, settings.workspace)

    return JudgingJob(
        workspace=settings.workspace,
        run_id=run.request.run_id,
        judgement=plan.judgement,
        teacher=staged(plan.teacher),
        independent=tuple(staged(model) for model in plan.independent),
        device=settings.device,
        tile_pixels=settings.tile_pixels,
        max_pixels=settings.max_pixels,
        limits=settings.curation,
        labelled=plan.labelled,
    )


def _decided(run: _Run, judged: dict[str, Judged]) -> list[PseudoLabelRecord]:
    """Decide by rules, then apply reviewers' decisions, which override them; one row per crop."""
    plan, ledger, quota = run.plan, run.ledger, run.settings.curation.quota
    stamp = LedgerStamp(plan.teachers, plan.judgement, run.request.run_id, datetime.now(UTC))
    rulings = rule_on(list(candidates_of(judged, plan.crops)), history_of(ledger, plan.crops), quota)
    rows = {ruling.candidate.crop_id: ruled_row(ruling, stamp) for ruling in rulings}
    rows |= reviewed_rows(plan, ledger, rows, stamp, quota)
    return [rows[crop_id] for crop_id in sorted(rows)]


def _with_pixels(
    settings: Settings, rows: Sequence[PseudoLabelRecord], judgement: str
) -> list[PseudoLabelRecord]:
    """Write the pixels of newly accepted crops, and return the rows with their locations."""
    new = [row.crop_id for row in rows if row.decision == "accepted" and row.zarr_group is None]
    if not new:
        return list(rows)
    group = pseudo_label_zarr.group_name(rows[0].run_id)
    pixels = (_pixels(settings.workspace, judgement, crop_id) for crop_id in new)
    pseudo_label_zarr.write_group(settings.workspace, group, len(new), pixels)
    failpoint("after-pixels")
    places = {crop_id: number for number, crop_id in enumerate(new)}
    return [
        replace(row, zarr_group=group, zarr_row=places[row.crop_id]) if row.crop_id in places else row
        for row in rows
    ]


def _pixels(workspace: str, judgement: str, crop_id: str) -> PseudoPixels:
    found = read_judged(workspace, judgement, crop_id)
    if found is None:
        raise ObjectNotFound(f"{workspace}/{JUDGED_FOLDER}/{judgement}/{crop_id}.npz: gone; run it again")
    return found[1]


def _last_run(ledger: pl.DataFrame) -> list[PseudoLabelRecord]:
    """Return the rows of the newest run, which may have been killed before it published its page."""
    if ledger.is_empty():
        return []
    newest = ledger.filter(pl.col("run_id") == ledger["run_id"][-1])
    return [PseudoLabelRecord(**row) for row in newest.iter_rows(named=True)]


def _forget_judged(workspace: str) -> None:
    """Delete all judged crops from the workspace, including those of earlier runs with other networks."""
    location = open_location(f"{workspace}/{JUDGED_FOLDER}")
    try:
        keys = [ref.key for ref in location.list()]
    except ObjectNotFound:
        return
    for key in keys:
        location.delete(key)

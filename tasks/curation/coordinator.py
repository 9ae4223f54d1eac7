"""The coordinator of one curation (`curate_pool`): judge crops on workers, decide, record, publish.

Workers write judged crops, with their pixels, as whole shards (`tasks.curation.judged_shards`); the rows of the
ledger, one commit per run, refer to them. A run that is killed at any point therefore leaves no half-committed
group, and the next run reuses its complete shards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from infra.catalog.pseudo_labels import PseudoLabels
from infra.failpoints import failpoint
from infra.records import PseudoLabelRecord
from infra.settings import Settings
from infra.storage.lease import Lease, lease_of
from tasks.curation.acceptance import rule_on
from tasks.curation.judged_shards import (
    Judged,
    forget_judgements,
    read_finished,
    remove_shards,
    remove_unneeded,
)
from tasks.curation.judging import JudgingJob
from tasks.curation.ledger_rows import LedgerStamp, candidates_of, history_of, ruled_row
from tasks.curation.planning import CurationPlan, CurationRequest, make_plan
from tasks.curation.review import publish_review
from tasks.curation.reviewers import crops_to_judge, reviewed_rows
from tasks.curation.stage import JudgeStage
from tasks.curation.summary import CurationSummary, Decided
from tasks.prefect_runs import attempt
from tasks.progress import Progress
from tasks.resolved_model import ResolvedModel
from tasks.waves.dask_executor import on_dask
from tasks.waves.executors import OpenExecutor
from tasks.waves.runner import Pace, run_stage
from tasks.workers.loaded import StagedModel, stage_model
from tasks.workers.unfinished import Unfinished


@dataclass(frozen=True, slots=True)
class _Run:
    """The state of one curation: its request, its plan, and the ledger and judgements as they were at the start."""

    settings: Settings
    request: CurationRequest
    plan: CurationPlan
    ledger: pl.DataFrame
    finished: Mapping[str, Judged]
    """Judgements made by a killed run, by crop id."""
    requested: frozenset[str]
    """Crops of which a reviewer accepted a pseudo-label whose pixels were not kept."""


@dataclass(frozen=True, slots=True)
class _Selection:
    """The crops to decide on."""

    reused: dict[str, Judged]
    """Judgements of crops that a killed run has judged, by crop id."""
    missing: pl.DataFrame
    """Rows of the pool for the crops to be judged now."""
    waiting: int
    """Number of crops that the limit leaves for later runs."""


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
        run = _started(settings, request, plan)
        labels, selection = PseudoLabels(settings.workspace), _selected(run)
        judged, pending = _judged(run, selection.missing, lease, open_executor)
        judged |= selection.reused
        rows = _with_places(_decided(run, judged), judged)
        failpoint("before-rows")
        lease.check()
        labels.commit(rows, replace=False)
        failpoint("after-rows")
        page = _page_and_removal(run, lease, rows, judged)
        attempt("compacting the ledger", labels.maintain)
        in_force = attempt("counting pseudo-labels", lambda: labels.accepted().height) or 0
    streaks = sum(judged[row.crop_id].streaks for row in rows if _is_new(row, judged))
    return CurationSummary(Decided.of(rows), tuple(pending), selection.waiting, in_force, streaks, page)


def _started(settings: Settings, request: CurationRequest, plan: CurationPlan) -> _Run:
    """Remove what a killed run left unfinished, and read what it finished."""
    ledger = PseudoLabels(settings.workspace).rows()
    remove_unneeded(settings.workspace, set(ledger["zarr_group"].drop_nulls()))
    finished = read_finished(settings.workspace, plan.judgement)
    requested = frozenset(crops_to_judge(plan.decisions, plan.judgement, ledger))
    return _Run(settings, request, plan, ledger, finished, requested)


def _selected(run: _Run) -> _Selection:
    """Select the crops that are new to these networks, and requested ones.

    If there is a limit, requested crops come first, then new crops in the order of their ids, which are hashes.
    Crops that a killed run has judged do not count towards the limit, unless a requested one has no pixels.
    """
    plan, ledger = run.plan, run.ledger
    known = ledger.filter(pl.col("judgement") == plan.judgement, pl.col("reviewer_decision").is_null())
    is_requested = pl.col("crop_id").is_in(list(run.requested))
    wanted = plan.crops.filter(~pl.col("crop_id").is_in(known["crop_id"].implode()) | is_requested)
    finished = {crop_id: run.finished[crop_id] for crop_id in wanted["crop_id"] if crop_id in run.finished}
    reused = {
        crop_id: judged
        for crop_id, judged in finished.items()
        if judged.kept_group is not None or crop_id not in run.requested
    }
    missing = wanted.filter(~pl.col("crop_id").is_in(list(reused))).sort(~is_requested, "crop_id")
    chosen = missing.head(run.request.limit or missing.height)
    return _Selection(reused, chosen, missing.height - chosen.height)


def _judged(
    run: _Run, missing: pl.DataFrame, lease: Lease, open_executor: OpenExecutor
) -> tuple[dict[str, Judged], list[Unfinished]]:
    """Judge crops on workers."""
    if missing.is_empty():
        return {}, []
    settings = run.settings
    judging = JudgeStage(settings, _job(run), missing, run.plan.crops, run.requested)
    with Progress(missing.height, "curate", "crop") as progress, open_executor(settings) as executor:
        tally = run_stage(judging, lease, executor, Pace.of(settings), progress.show)
    reasons = {item.key: item.reason for item in tally.unfinished}
    unjudged = sorted(set(missing["crop_id"]) - judging.judged.keys())
    why = tally.stopped_by or "not tried"
    return judging.judged, [Unfinished(crop_id, reasons.get(crop_id, why)) for crop_id in unjudged]


def _job(run: _Run) -> JudgingJob:
    settings, plan = run.settings, run.plan

    def staged(model: ResolvedModel) -> StagedModel:
        return stage_model(model.model_file, model.name, model.version, settings.workspace)

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


def _with_places(rows: Sequence[PseudoLabelRecord], judged: Mapping[str, Judged]) -> list[PseudoLabelRecord]:
    """Return the rows, with the locations of the pixels in newly accepted ones.

    A crop that a reviewer accepted but that could not be judged now has no pixels and gets no row: the next run
    with the same decisions judges it.
    """
    placed = []
    for row in rows:
        if row.decision != "accepted" or row.zarr_group is not None:
            placed.append(row)
        elif row.crop_id in judged:
            made = judged[row.crop_id]
            placed.append(replace(row, zarr_group=made.kept_group, zarr_row=made.zarr_row))
    return placed


def _is_new(row: PseudoLabelRecord, judged: Mapping[str, Judged]) -> bool:
    """Return whether a row accepts a pseudo-label that was made for this run."""
    made = judged.get(row.crop_id)
    return row.decision == "accepted" and made is not None and made.zarr_group == row.zarr_group


def _last_run(ledger: pl.DataFrame) -> list[PseudoLabelRecord]:
    """Return the rows of the newest run, which may have been killed before it published its page."""
    if ledger.is_empty():
        return []
    newest = ledger.filter(pl.col("run_id") == ledger["run_id"][-1])
    return [PseudoLabelRecord(**row) for row in newest.iter_rows(named=True)]


def _page_and_removal(
    run: _Run, lease: Lease, rows: Sequence[PseudoLabelRecord], judged: Mapping[str, Judged]
) -> str | None:
    """Publish the review page, then remove the judgements that it shows; return its URL."""
    settings, found = run.settings, {**run.finished, **judged}
    decided = rows or _last_run(run.ledger)
    page = attempt("the review page", lambda: publish_review(settings, run.plan.crops, decided, found))
    attempt("removing judged crops", lambda: _remove_judged(run, lease, rows, found))
    return page


def _remove_judged(
    run: _Run, lease: Lease, rows: Sequence[PseudoLabelRecord], judged: Mapping[str, Judged]
) -> None:
    """Remove the markers, and those groups of which no crop was accepted."""
    lease.check()  # another run may need them by now
    workspace = run.settings.workspace
    forget_judgements(workspace)
    committed = {row.zarr_group for row in rows} | set(run.ledger["zarr_group"])
    remove_shards(workspace, {group for one in judged.values() if (group := one.kept_group)} - committed)

"""Promotion and rollback (`promote_challenger`, `roll_back`): checks, comparison and gates, then the move."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from infra.catalog.promotions import Decision, Promotion
from infra.records import WEIGHTS_FILE, model_label
from infra.settings import Settings
from infra.storage.lease import check_workspace
from infra.tracking.registry import CHAMPION_URL, STUDENT, Registry
from tasks.promotion.champion import PromotionFailed, open_transaction, version_label
from tasks.promotion.evaluation import evaluate, open_validation
from tasks.promotion.evaluation_cache import recall
from tasks.promotion.gates import Verdict, decide, too_small
from tasks.promotion.overlap import refuse_training
from tasks.promotion.publication import record
from tasks.promotion.validation_manifest import ValidationManifest
from tasks.resolved_model import ResolvedModel, refuse_absent_device, register_shipped, resolve_model


def promote_challenger(
    settings: Settings, challenger: str, run_id: str, training: str | None = None
) -> Promotion:
    """Compare a challenger with the champion and promote it if it is better; return the ledger's row.

    Parameters
    ----------
    settings : Settings
        Limits of the gates, validation manifest, workspace and registry.
    challenger : str
        `models:/derain-student@alias`, `models:/derain-student/version`, or a weights file, which is registered.
    run_id : str
        Id of the run that decides.
    training : str, optional
        Folder or manifest of the photographs on which the challenger was trained; none of them may be among the
        deciding ones.

    Raises
    ------
    PromotionFailed
        Or another of `tasks.refusals.REFUSALS`, with a message of one line.
    """
    refuse_absent_device(settings)
    check_workspace(settings.workspace)
    champion = resolve_model(settings, CHAMPION_URL)
    candidate = resolve_model(settings, challenger)
    _refuse_other_model(challenger, candidate)
    manifest = open_validation(settings)
    if training is not None:
        refuse_training(manifest, training)
    with open_transaction(settings, run_id) as transaction:
        if transaction.registry.aliases(STUDENT).champion != champion.version:  # a killed run has changed it
            champion = resolve_model(settings, CHAMPION_URL)
    verdict, table = _compared(settings, champion, candidate, manifest, run_id)
    candidate = _registered(settings, champion, candidate)
    with open_transaction(settings, run_id) as transaction:
        now = transaction.registry.aliases(STUDENT).champion
        if now != champion.version:
            name = version_label(STUDENT, now)
            late = f"compared with {champion.label}, but {name} has become champion: run it again"
            verdict = replace(verdict, refusals=(late, *verdict.refusals))
        decision: Decision = "promoted" if verdict.is_better else "refused"
        row = transaction.row(decision, champion.version, candidate.version, verdict.line())
        row = replace(row, gates=verdict.gates, evaluation=table)
        return transaction.move(row) if verdict.is_better else transaction.write(row)


def promoted_since(settings: Settings, challenger: str, since: datetime, run_id: str) -> Promotion | None:
    """Return the row that promoted a version, if that was the last move and not before `since`; otherwise None.

    A move that a killed run left unfinished is completed first.

    Parameters
    ----------
    settings : Settings
        Workspace and registry.
    challenger : str
        The version as `models:/derain-student/version`.
    since : datetime
        The earliest time of the decision.
    run_id : str
        Id of the run that asks.
    """
    with open_transaction(settings, run_id) as transaction:
        last = transaction.ledger.last_move(STUDENT)
    if last is None or last.decision != "promoted" or last.decided_at < since:
        return None
    return last if challenger == f"models:/{STUDENT}/{last.to_version}" else None


def roll_back(settings: Settings, to: int | None, run_id: str) -> Promotion:
    """Make the previous version, or the version with this number, champion; return the ledger's row.

    Raises
    ------
    PromotionFailed
        If there is no previous version, or the version is the champion already.
    ModelNotFound, ModelFileInvalid
        If there is no such version, or it cannot be used; nothing has been changed.
    """
    if to is None:
        register_shipped(settings, STUDENT)  # the champion is not loaded, because it may be broken
    else:
        require_version(settings, to)
    with open_transaction(settings, run_id) as transaction:
        aliases = transaction.registry.aliases(STUDENT)
        target = aliases.previous if to is None else str(to)
        if target is None:
            raise PromotionFailed(f"{STUDENT} has no previous version: --to N takes any existing version")
        if target == aliases.champion:
            raise PromotionFailed(f"{model_label(STUDENT, target)} is the champion already")
        resolve_model(settings, f"models:/{STUDENT}/{target}")
        return transaction.move(transaction.row("rolled_back", aliases.champion, target, "on request"))


def require_version(settings: Settings, number: int) -> None:
    """Check that a version of the student is registered and can be used.

    Raises
    ------
    ModelNotFound, ModelFileInvalid
        If it is not; the message lists the versions that exist.
    """
    resolve_model(settings, f"models:/{STUDENT}/{number}")


def promotion_line(row: Promotion) -> str:
    """Return a row of the ledger as one line."""
    before, after = version_label(row.model, row.from_version), version_label(row.model, row.to_version)
    if row.decision == "refused":
        return f"{after} refused, {before} stays champion: {row.reasons}"
    what = "promoted" if row.decision == "promoted" else "rolled back"
    return f"{what}: {after} is champion, {before} before: {row.reasons}"


def _refuse_other_model(url: str, candidate: ResolvedModel) -> None:
    if url.startswith("models:/") and candidate.name != STUDENT:
        raise PromotionFailed(
            f"{url}: {candidate.name} cannot become champion of {STUDENT}; name a version of it, or a weights file"
        )


def _compared(
    settings: Settings,
    champion: ResolvedModel,
    candidate: ResolvedModel,
    manifest: ValidationManifest,
    run_id: str,
) -> tuple[Verdict, str | None]:
    """Decide on a candidate; return the verdict and the URL of its measurements, if there are any.

    Nothing is measured if the decision needs no measurement, or if an earlier run made the same measurement.
    """
    if candidate.model_file.digest == champion.model_file.digest:
        return Verdict((), (f"the same network as {champion.label}, the champion",)), None
    small = too_small(manifest, settings.gates)
    if small is not None:
        return Verdict((), (small,)), None
    known = recall(settings, champion, candidate, manifest)
    if known is not None:
        return decide(known.evaluation, settings.gates), known.table
    evaluation = evaluate(settings, champion, candidate, manifest)
    verdict = decide(evaluation, settings.gates)
    return verdict, record(settings, evaluation, verdict, run_id)


def _registered(settings: Settings, champion: ResolvedModel, candidate: ResolvedModel) -> ResolvedModel:
    """Register a weights file as a version, unless its weights are those of the champion."""
    if candidate.version != WEIGHTS_FILE:
        return candidate
    if candidate.model_file.digest == champion.model_file.digest:
        return champion
    files = candidate.model_file
    version = Registry(settings).register_challenger(STUDENT, files.weights, files.config)
    return replace(candidate, name=STUDENT, version=version)

"""Rows of reviewers' decisions (`reviewed_rows`), which override rules and have a separate quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from types import NoneType
from typing import Any, get_args, get_type_hints

import polars as pl

from infra.catalog.pseudo_labels import accepted_rows
from infra.records import PseudoLabelRecord
from tasks.curation.acceptance import REVIEWER, Rejection
from tasks.curation.decisions import Decision
from tasks.curation.ledger_rows import LedgerStamp, reviewed_row
from tasks.curation.planning import CurationPlan

_UNSEEN = Rejection(
    "a reviewer accepted another pseudo-label of this crop than these networks make", "review this run's page"
)


def crops_to_judge(decisions: Sequence[Decision], judgement: str, ledger: pl.DataFrame) -> list[str]:
    """List the crops of which a reviewer accepted these networks' output but no pixels are stored."""
    kept = set(_accepted_by_crop(ledger, judgement))
    return [
        each.crop_id
        for each in decisions
        if each.decision == "accept" and each.judgement == judgement and each.crop_id not in kept
    ]


def reviewed_rows(
    plan: CurationPlan,
    ledger: pl.DataFrame,
    ruled: Mapping[str, PseudoLabelRecord],
    stamp: LedgerStamp,
    quota: int,
) -> dict[str, PseudoLabelRecord]:
    """Make the rows of reviewers' decisions, which replace those of rules.

    Parameters
    ----------
    plan : CurationPlan
        Contains the decisions.
    ledger : polars.DataFrame
        All earlier rows, oldest first.
    ruled : mapping
        The rows of this run's rules, by crop id.
    stamp : LedgerStamp
        Values that all rows of the run share.
    quota : int
        Largest number of crops per source group that reviewers may accept.

    Returns
    -------
    dict
        Rows by crop id. A decision that is in the ledger already gives no row.
    """
    groups = dict(plan.crops.select("crop_id", "source_group").iter_rows())
    last = {row["crop_id"]: row for row in ledger.iter_rows(named=True)}
    by_reviewers = accepted_rows(ledger).filter(pl.col("rule") == REVIEWER)
    taken = Counter(by_reviewers["source_group"])
    rows = {}
    for each in plan.decisions:
        if _is_known(each, last):
            continue
        row = ruled.get(each.crop_id) or _earlier(last.get(each.crop_id), stamp)
        if each.decision == "reject":
            rejected = reviewed_row(row or _blank(each, groups[each.crop_id], stamp), each)
            rows[each.crop_id] = replace(rejected, zarr_group=None, zarr_row=None)
            continue
        found = _accepted(each, row, ledger, stamp, plan.judgement)
        rejection = _rejection(found, taken, quota)
        if found is not None and rejection is None:
            taken[found.source_group] += 1
            rows[each.crop_id] = found
        elif rejection is not None and (
            each.crop_id not in ruled or ruled[each.crop_id].decision == "rejected"
        ):
            blank = _blank(each, groups[each.crop_id], stamp)
            rows[each.crop_id] = _rejected(found or row or blank, rejection)
    return rows


def _rejection(row: PseudoLabelRecord | None, taken: Mapping[str, int], quota: int) -> Rejection | None:
    """Return why even a reviewer cannot accept a pseudo-label; None if a reviewer can."""
    if row is None:
        return _UNSEEN
    if row.confident == 0:
        return Rejection("no pixel is sure", "nothing could be learned from it")
    if taken[row.source_group] >= quota:
        return Rejection("the quota of what reviewers accept is full", f"{quota} crops of its source group")
    return None


def _accepted(
    decision: Decision,
    row: PseudoLabelRecord | None,
    ledger: pl.DataFrame,
    stamp: LedgerStamp,
    judgement: str,
) -> PseudoLabelRecord | None:
    """Make the row of a pseudo-label that is stored or was just remade; None if it is neither."""
    kept = _accepted_by_crop(ledger, decision.judgement).get(decision.crop_id)
    if kept is not None:
        return reviewed_row(_stamped(kept, stamp), decision)
    if row is not None and decision.judgement == judgement and row.run_id == stamp.run_id:
        return reviewed_row(row, decision)
    return None


def _accepted_by_crop(ledger: pl.DataFrame, judgement: str) -> dict[str, dict[str, object]]:
    """Return the accepted pseudo-labels of one judgement, by crop id."""
    accepted = accepted_rows(ledger).filter(pl.col("judgement") == judgement)
    return {row["crop_id"]: row for row in accepted.iter_rows(named=True)}


def _is_known(decision: Decision, last: Mapping[str, Mapping[str, object]]) -> bool:
    """Return whether the ledger's latest decision on a crop is this one: a file may be passed more than once."""
    row = last.get(decision.crop_id)
    return (
        row is not None
        and row["reviewer_decision"] == decision.decision
        and row["judgement"] == decision.judgement
    )


def _rejected(row: PseudoLabelRecord, rejection: Rejection) -> PseudoLabelRecord:
    return replace(
        row,
        decision="rejected",
        reason=rejection.reason,
        reason_details=rejection.details,
        reviewer_decision=None,
        zarr_group=None,
        zarr_row=None,
    )


def _earlier(row: Mapping[str, object] | None, stamp: LedgerStamp) -> PseudoLabelRecord | None:
    return None if row is None else _stamped(row, stamp)


def _stamped(row: Mapping[str, object], stamp: LedgerStamp) -> PseudoLabelRecord:
    """Copy an earlier run's row with this run's id and time; its teachers and scores stay."""
    known = {field.name: row[field.name] for field in fields(PseudoLabelRecord)}
    return PseudoLabelRecord(**{**known, "run_id": stamp.run_id, "decided_at": stamp.decided_at})  # type: ignore[arg-type]


def _blank(decision: Decision, group: str, stamp: LedgerStamp) -> PseudoLabelRecord:
    """Make the row of a crop that was never judged; a reviewer may still reject it."""
    types = get_type_hints(PseudoLabelRecord)
    optional: dict[str, Any] = dict.fromkeys(name for name in types if NoneType in get_args(types[name]))
    return PseudoLabelRecord(
        **optional,
        crop_id=decision.crop_id,
        source_group=group,
        teachers=stamp.teachers,
        judgement=decision.judgement,
        rule=REVIEWER,
        decision="rejected",
        score=0.0,
        rain_found=0.0,
        confident=0.0,
        run_id=stamp.run_id,
        decided_at=stamp.decided_at,
    )

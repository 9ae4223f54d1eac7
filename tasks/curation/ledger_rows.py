"""Conversion of decisions to rows of the pseudo-label ledger, and of rows to the current state (`history_of`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import polars as pl

from infra.catalog.pseudo_labels import accepted_rows
from infra.records import PseudoLabelRecord
from tasks.curation.acceptance import RANKS, REVIEWER, Candidate, History, Ruling
from tasks.curation.decisions import Decision
from tasks.curation.judged_shards import Judged


@dataclass(frozen=True, slots=True)
class LedgerStamp:
    """Values that all rows of a run share."""

    teachers: str
    judgement: str
    run_id: str
    decided_at: datetime


def history_of(ledger: pl.DataFrame, crops: pl.DataFrame) -> History:
    """Return the decisions that are in force, given all rows of the ledger, oldest first."""
    accepted = accepted_rows(ledger)
    reviewed = ledger.filter(pl.col("reviewer_decision").is_not_null()).unique("crop_id", keep="last")
    rejected = reviewed.filter(pl.col("reviewer_decision") == "reject")["crop_id"]
    contents = contents_of(crops)
    ranks = {row["crop_id"]: (RANKS[row["rule"]], row["score"]) for row in accepted.iter_rows(named=True)}
    by_rules = accepted.filter(pl.col("rule") != REVIEWER)
    return History(
        ranks=ranks,
        rejected=frozenset(rejected),
        taken=Counter(by_rules["source_group"]),
        contents={contents[crop_id]: crop_id for crop_id in ranks if crop_id in contents},
    )


def contents_of(crops: pl.DataFrame) -> dict[str, str]:
    """Return the content id of each crop of the pool; crops with the same pixels share it."""
    columns = ("crop_id", "pixels_sha256", "top", "left")
    return {crop: f"{pixels}/{top}/{left}" for crop, pixels, top, left in crops.select(columns).iter_rows()}


def candidates_of(judged: Mapping[str, Judged], crops: pl.DataFrame) -> Iterator[Candidate]:
    """Join judged crops with their rows of the pool."""
    contents = contents_of(crops)
    for crop_id, group in crops.select("crop_id", "source_group").iter_rows():
        if crop_id in judged:
            one = judged[crop_id]
            yield Candidate(crop_id, group, contents[crop_id], one.rule, one.scores, one.rejection)


def ruled_row(ruling: Ruling, stamp: LedgerStamp) -> PseudoLabelRecord:
    """Make the row of a decision by a rule; the location of its pixels is not known yet."""
    candidate, rejection = ruling.candidate, ruling.rejection
    return PseudoLabelRecord(
        crop_id=candidate.crop_id,
        source_group=candidate.source_group,
        rule=candidate.rule,
        decision=ruling.decision,
        reason=rejection.reason if rejection else None,
        reason_details=rejection.details if rejection else None,
        reviewer_decision=None,
        zarr_group=None,
        zarr_row=None,
        **asdict(candidate.scores),
        **asdict(stamp),
    )


def reviewed_row(row: PseudoLabelRecord, decision: Decision) -> PseudoLabelRecord:
    """Return a row changed to a reviewer's decision."""
    is_accepted = decision.decision == "accept"
    return replace(
        row,
        judgement=decision.judgement,
        rule=REVIEWER,
        decision="accepted" if is_accepted else "rejected",
        reason=None if is_accepted else "rejected by a reviewer",
        reason_details=None,
        reviewer_decision=decision.decision,
    )

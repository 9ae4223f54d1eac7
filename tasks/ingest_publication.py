"""What an ingest leaves: a page of crops and rejects, artifacts in Prefect, and an event when training pays."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from prefect.artifacts import create_link_artifact, create_table_artifact
from prefect.events import emit_event

from infra.pool import Pool
from infra.promotions import Ledger
from infra.settings import Settings
from infra.storage import is_local, open_location
from tasks.ingest_report import render_ingest
from tasks.ingest_summary import IngestSummary
from tasks.reading import STORAGE_FAULTS

POOL_GROWN = "derain.pool.grown"
STUDENT = "derain-student"
_TRAINED = ("promoted", "refused")
"""Decisions that a training ends with."""


def publish_ingest(settings: Settings, summary: IngestSummary) -> str:
    """Write the page of a run and its artifacts, tell if the pool has grown; return the page's URL, or why not."""
    _table_artifact(summary)
    tell_growth(settings, summary.crops)
    name = f"ingest-{summary.started_at:%Y%m%dT%H%M%S}-{summary.run_id[:8]}.html"
    url = f"{settings.workspace}/reports/{name}"
    try:
        open_location(f"{settings.workspace}/reports").put(name, render_ingest(settings, summary).encode())
    except STORAGE_FAULTS as error:  # the crops are in the pool nevertheless
        return f"not written, {error}"
    link = Path(url).as_uri() if is_local(url) else url
    create_link_artifact(link, link_text="Ingest: crops and rejects", key="ingest-report")
    return url


def tell_growth(settings: Settings, crops: int) -> int:
    """Emit `derain.pool.grown` when the crops that no training has seen pass `DERAIN_INGEST__GROWN_CROPS`.

    And again at each further multiple of it. The last training is the last decision on the student in the ledger
    of promotions.

    Parameters
    ----------
    settings : Settings
        Workspace and limit.
    crops : int
        How many of them this run has brought.

    Returns
    -------
    int
        Crops since the last training.
    """
    limit = settings.ingest.grown_crops
    new = Pool(settings.workspace).count(since=_last_training(settings.workspace))
    if (new - min(crops, new)) // limit < new // limit:
        resource = {"prefect.resource.id": f"derain.pool.{settings.workspace}"}
        emit_event(POOL_GROWN, resource, payload={"new_crops": new, "run_crops": crops, "limit": limit})
    return new


def _last_training(workspace: str) -> datetime:
    decided = [row.decided_at for row in Ledger(workspace).rows(STUDENT) if row.decision in _TRAINED]
    return max(decided, default=datetime.fromtimestamp(0, UTC))


def _table_artifact(summary: IngestSummary) -> None:
    rows = [
        {"what": "listed", "images": summary.listed},
        {"what": "known before", "images": summary.known_before},
        {"what": "accepted", "images": summary.accepted},
        *({"what": reason, "images": number} for reason, number in summary.reasons),
        {"what": "pending", "images": summary.pending},
    ]
    create_table_artifact(rows, key="ingested-images", description=summary.line())

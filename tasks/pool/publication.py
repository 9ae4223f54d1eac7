"""What an ingest leaves: a page of crops and rejects, artifacts in Prefect, events for a training."""

from __future__ import annotations

from pathlib import Path

from prefect.artifacts import create_link_artifact, create_table_artifact

from infra.faults import STORAGE_FAULTS
from infra.settings import Settings
from infra.storage import is_local, open_location
from tasks.pool.drift import View, watch_drift
from tasks.pool.growth import tell_growth
from tasks.pool.report import render_ingest
from tasks.pool.summary import IngestSummary
from tasks.progress import told


def publish_ingest(settings: Settings, summary: IngestSummary) -> str:
    """Write the page of a run and its artifacts, tell if the pool has grown; return the page's URL, or why not.

    The crops are in the pool: whatever else fails here is a warning in the log.
    """
    told("the table of counts", lambda: _table_artifact(summary))
    page = _put_page(settings, summary)
    told("the growth of the pool", lambda: tell_growth(settings, summary.crops))
    told("drift", lambda: _drift_artifact(watch_drift(settings, summary.crops)))
    return page


def _put_page(settings: Settings, summary: IngestSummary) -> str:
    name = f"ingest-{summary.started_at:%Y%m%dT%H%M%S}-{summary.run_id[:8]}.html"
    url = f"{settings.workspace}/reports/{name}"
    try:
        open_location(f"{settings.workspace}/reports").put(name, render_ingest(settings, summary).encode())
    except STORAGE_FAULTS as error:
        return f"not written, {error}"
    link = Path(url).as_uri() if is_local(url) else url
    text = "Ingest: crops and rejects"
    told("the link to the page", lambda: create_link_artifact(link, link_text=text, key="ingest-report"))
    return url


def _table_artifact(summary: IngestSummary) -> None:
    rows = [
        {"what": "listed", "images": summary.listed},
        {"what": "known before", "images": summary.known_before},
        {"what": "accepted", "images": summary.accepted},
        *({"what": reason, "images": number} for reason, number in summary.reasons),
        {"what": "pending", "images": summary.pending},
    ]
    create_table_artifact(rows, key="ingested-images", description=summary.line())


def _drift_artifact(views: tuple[View, ...]) -> None:
    if views:
        rows = [{"view": view.name, "p": view.p_value, "found": view.line()} for view in views]
        create_table_artifact(rows, key="drift", description="The newest photographs against earlier ones")

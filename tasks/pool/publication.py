"""Publication of an ingest (`publish_ingest`): a page of crops and rejects, artifacts, the growth event."""

from __future__ import annotations

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from infra.settings import Settings
from tasks.pages.publishing import Page, link_of, put_page
from tasks.pool.artifact import ingest_markdown
from tasks.pool.growth import emit_pool_grown
from tasks.pool.report import render_ingest
from tasks.pool.summary import IngestSummary
from tasks.prefect_runs import report


def publish_ingest(settings: Settings, summary: IngestSummary) -> str | None:
    """Publish the page and artifacts of a run, and emit the growth event.

    The crops are already in the pool, so any failure here is only logged as a warning.

    Returns
    -------
    str or None
        URL of the page, or why there is none; None if the run had nothing to do.
    """
    page = None if summary.is_idle else _published_page(settings, summary)
    report("the growth of the pool", lambda: emit_pool_grown(settings, summary.crops))
    return page


def _published_page(settings: Settings, summary: IngestSummary) -> str:
    report("the table of counts", lambda: _table_artifact(summary))
    page = Page(
        name=f"ingest-{summary.started_at:%Y%m%dT%H%M%S}-{summary.run_id[:8]}.html",
        render=lambda: render_ingest(settings, summary),
        key="ingest-report",
        link_text="Ingest: crops and rejects",
    )
    place = put_page(settings, page)
    report("the page in Prefect", lambda: _markdown_artifact(settings, summary, place))
    return place


def _markdown_artifact(settings: Settings, summary: IngestSummary, place: str) -> None:
    markdown = ingest_markdown(summary, place, link_of(settings, place))
    create_markdown_artifact(markdown, key="ingest", description=summary.line())


def _table_artifact(summary: IngestSummary) -> None:
    rows = [
        {"what": "listed", "images": summary.listed},
        {"what": "known before", "images": summary.known_before},
        {"what": "accepted", "images": summary.accepted},
        *({"what": reason, "images": number} for reason, number in summary.reasons.items()),
        {"what": "pending", "images": summary.pending},
    ]
    create_table_artifact(rows, key="ingested-images", description=summary.line())

"""What an ingest leaves to look at: a page of crops and rejects, artifacts in Prefect, and an event when it pays."""

from __future__ import annotations

from infra.settings import Settings
from tasks.ingest_summary import IngestSummary


def publish_ingest(settings: Settings, summary: IngestSummary) -> str:
    return ""

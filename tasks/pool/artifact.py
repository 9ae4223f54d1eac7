"""The page of an ingest in Prefect (`ingest_markdown`): figures, rejects by reason, link to the report."""

from __future__ import annotations

from tasks.pages.markdown import escaped, joined, rejected_table, report_line, table
from tasks.pool.summary import IngestSummary
from tasks.readable import duration


def ingest_markdown(summary: IngestSummary, place: str, link: str | None) -> str:
    """Describe an ingest in Markdown.

    Parameters
    ----------
    summary : IngestSummary
        The run.
    place : str
        Location of the report, or the reason why there is none.
    link : str or None
        URL at which a browser opens the report.
    """
    parts = [
        f"**{escaped(summary.line())}**",
        escaped(summary.message),
        _figures(summary),
        rejected_table(summary.reasons),
        report_line(place, link),
    ]
    return joined(parts)


def _figures(summary: IngestSummary) -> str:
    rows = [
        ("listed", f"{summary.listed:,}"),
        ("known before", f"{summary.known_before:,}"),
        ("accepted", f"{summary.accepted:,}"),
        ("rejected", f"{summary.rejected:,}"),
        ("pending", f"{summary.pending:,}"),
        ("new crops to train on", f"{summary.train_crops:,}"),
        ("new crops for validation", f"{summary.validation_crops:,}"),
        ("crops in the pool", f"{summary.pool_crops:,}"),
        ("time", duration(summary.wall_seconds)),
        *(("source", escaped(source)) for source in summary.sources),
    ]
    return table(("figure", "value"), rows)

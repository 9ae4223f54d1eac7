"""The page of a run in Prefect (`run_markdown`): figures, rejects by reason, a few pictures, link to the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.batch.report import Sample, rain_removed
from tasks.batch.summary import RunSummary
from tasks.pages.markdown import escaped, joined, rejected_table, report_line, table
from tasks.pages.pictures import data_uri, side_by_side
from tasks.readable import duration, percentage, rate

MOST_PICTURES = 3
PICTURE_SIDE = 320
"""Longest side in pixels of each half of a picture: about 30 kB for both, within Prefect's database."""


def run_markdown(summary: RunSummary, samples: Sequence[Sample], place: str, link: str | None) -> str:
    """Describe a run in Markdown.

    Parameters
    ----------
    summary : RunSummary
        The run.
    samples : sequence of Sample
        Images before and after; the first `MOST_PICTURES` are shown as data URIs.
    place : str
        Location of the report, or the reason why there is none.
    link : str or None
        URL at which a browser opens the report.
    """
    parts = [
        f"**{escaped(summary.line())}**",
        escaped(summary.message),
        _figures(summary),
        rejected_table(summary.counts.rejected_for),
        *_pictures(samples),
        report_line(place, link),
    ]
    return joined(parts)


def _figures(summary: RunSummary) -> str:
    rows = [
        *((outcome, f"{images:,}") for outcome, images in summary.counts.by_outcome.items()),
        ("speed", f"{rate(summary.images_per_second)} images/s, {rate(summary.megapixels_per_second)} MP/s"),
        ("time", duration(summary.wall_seconds)),
        ("model", f"{escaped(summary.model_label)}, `{summary.model_digest[:12]}`"),
        ("source", escaped(summary.scope.source)),
        ("destination", escaped(summary.scope.destination)),
    ]
    return table(("figure", "value"), rows)


def _pictures(samples: Sequence[Sample]) -> Iterator[str]:
    for sample in samples[:MOST_PICTURES]:
        share = rain_removed(sample.record)
        removed = "" if share is None else f": rain removed, {percentage(share)} of the photograph's energy"
        picture = data_uri(side_by_side(sample.rainy, sample.derained, PICTURE_SIDE))
        yield f"{escaped(sample.record.key)}{removed}\n\n![before and after]({picture})"

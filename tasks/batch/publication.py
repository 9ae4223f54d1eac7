"""Publication of a run (`publish`): the report page in the workspace, and artifacts in Prefect."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from infra.catalog.derained import Catalog
from infra.prefect.alerts import PENDING
from infra.records import DerainRecord, ImageRef
from infra.settings import Settings
from infra.storage.location import is_local
from tasks.batch.artifact import MOST_PICTURES, run_markdown
from tasks.batch.report import MOST_LISTED, MOST_REJECTED, MOST_SAMPLES, Report, Sample, render
from tasks.batch.summary import RunSummary
from tasks.media.medium import MediumSpec
from tasks.media.opening import open_medium
from tasks.pages.publishing import Page, link_of, put_page
from tasks.prefect_runs import report
from tasks.workers.reading import UNREADABLE


def publish(summary: RunSummary, medium: MediumSpec, settings: Settings) -> str:
    """Publish the report and artifacts of a run that was not idle; return the report's URL or why there is none.

    Parameters
    ----------
    summary : RunSummary
        The summary of the run.
    medium : MediumSpec
        The medium from which samples are read.
    settings : Settings
        The report is written to `<workspace>/reports`.
    """
    report("the table of counts", lambda: _table_artifact(summary))
    page = Page(
        name=f"{summary.started_at:%Y%m%dT%H%M%S}-{summary.run_id[:8]}.html",
        render=lambda: _rendered(summary, medium, settings.workspace),
        key="report",
        link_text="Report: before and after, rejects",
    )
    if summary.counts.pending:
        report("the event of pending images", lambda: _emit_pending(summary))
    place = put_page(settings, page)
    report("the page in Prefect", lambda: _markdown_artifact(summary, medium, settings, place))
    return place


def _emit_pending(summary: RunSummary) -> None:
    from prefect.events import emit_event  # imports Prefect only within its runs

    resource = {"prefect.resource.id": f"derain.destination.{summary.scope.destination}"}
    emit_event(PENDING, resource, payload={"pending": summary.counts.pending, "message": summary.message})


def _rendered(summary: RunSummary, medium: MediumSpec, workspace: str) -> str:
    catalog = Catalog(workspace)
    scope, run_id = summary.scope, summary.run_id
    page = Report(
        summary,
        worst=list(samples(medium, catalog.worst(scope, MOST_SAMPLES, run_id))),
        random=list(samples(medium, catalog.sample(scope, 2 * MOST_SAMPLES, run_id))),
        rejected=catalog.rejected(scope, MOST_REJECTED, run_id),
        rejected_total=summary.counts.rejected,
        images=catalog.of_run(scope, MOST_LISTED, run_id),
        links=_links(medium, workspace),
    )
    return render(page)


def _links(medium: MediumSpec, workspace: str) -> str | None:
    """Return the URL, relative to a page of the workspace, of the outputs; None if a browser cannot open them.

    Relative links also work where the folder that holds both is mounted or copied to another place.
    """
    if medium.frames or not (is_local(medium.destination) and is_local(workspace)):
        return None
    return quote(os.path.relpath(medium.destination, f"{workspace}/reports")) + "/"


def samples(medium: MediumSpec, records: Iterable[DerainRecord]) -> Iterator[Sample]:
    """Reload rainy and derained pixels; skip images that have disappeared or changed."""
    opened = open_medium(medium)
    for record in records:
        try:
            data = opened.fetch(ImageRef(record.key, record.etag, record.size_bytes))
            rainy, derained = opened.decode(data).rgb, opened.output(str(record.output_key))
        except UNREADABLE:
            continue
        if rainy.shape == derained.shape:
            yield Sample(record, rainy, derained)


def _markdown_artifact(summary: RunSummary, medium: MediumSpec, settings: Settings, place: str) -> None:
    from prefect.artifacts import create_markdown_artifact  # imports Prefect only within its runs

    shown = Catalog(settings.workspace).worst(summary.scope, MOST_PICTURES, summary.run_id)
    markdown = run_markdown(summary, list(samples(medium, shown)), place, link_of(settings, place))
    create_markdown_artifact(markdown, key="derain-batch", description=summary.line())


def _table_artifact(summary: RunSummary) -> None:
    from prefect.artifacts import create_table_artifact  # imports Prefect only within its runs

    listed, done, *others = summary.counts.by_outcome.items()
    made = [(f"of these by {each.label}", each.images) for each in summary.made_before]
    rows = [{"what": what, "images": images} for what, images in (listed, done, *made, *others)]
    create_table_artifact(rows, key="derained-images", description=summary.line())

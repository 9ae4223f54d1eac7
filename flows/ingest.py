"""The flow ingest, which adds photographs of rain to the pool that the networks learn from.

python -m flows.ingest --source ./rainy
python -m flows.ingest --source catalog --where "rain_energy > 0.02"
prefect deployment run ingest
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from infra.settings import Settings
from tasks.drift.publication import publish_drift
from tasks.media.sources import Selection
from tasks.pool.coordinator import IngestRedo, IngestRequest, ingest_line, ingest_pending, make_ingest_plan
from tasks.pool.publication import publish_ingest
from tasks.pool.sources import find_sources, readable_sources
from tasks.refusals import REFUSALS


@flow(name="ingest")
def ingest(
    source: str | None = None,
    where: str | None = None,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
    plan_only: bool = False,
    redo: IngestRedo = "none",
) -> State[Any]:
    """Add photographs of rain to the pool of training crops.

    Images that are duplicates, too small, blurred, flat or noise are left out, with a reason. Run again, it
    processes only images that are new or changed.

    Args:
        source: Folder, bucket prefix (s3://bucket/prefix), manifest, Zarr array (T, H, W, 3), or catalog: the
            images that derain-batch has derained. Default: DERAIN_SOURCE.
        where: SQL condition on the rows of the catalog, such as rain_energy > 0.02.
        include: Process only keys that match one of these globs. Default: keys with the suffix of an image.
        exclude: Skip keys that match one of these globs.
        limit: Process at most this many images of the source.
        plan_only: Report what would be done, and do nothing.
        redo: Also process rejected images again (rejected), for example after limits were changed.
    """
    selection = Selection(tuple(include or ()), tuple(exclude or ()), limit)
    request = IngestRequest(str(flow_run.id), datetime.now(UTC), redo)
    try:
        settings = flow_settings()
        sources = find_sources(settings, source, where, selection)
        if plan_only:
            plan, _ = make_ingest_plan(settings, sources, request)
            plan.close()
            return Completed(message=ingest_line(plan))
        summary = ingest_pending(settings, sources, request)
        report = publish_ingest(settings, summary)
        publish_drift(settings, summary.crops)
    except REFUSALS as error:
        return failed(str(error))
    parts = (summary.line(), f"report: {report}" if report else "", summary.message)
    line = "; ".join(part for part in parts if part)
    return failed(line) if summary.state == "Failed" else Completed(message=line, data=summary)


def refuse(
    settings: Settings,
    source: str | None,
    where: str | None,
    include: list[str] | None,
    exclude: list[str] | None,
    limit: int | None,
    **_: object,
) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    readable_sources(settings, source, where, Selection(tuple(include or ()), tuple(exclude or ()), limit))


if __name__ == "__main__":
    run(ingest, refuse)

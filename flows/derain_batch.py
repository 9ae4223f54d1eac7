"""The flow derain-batch, which derains a folder or bucket of rainy photographs.

python -m flows.derain_batch --source ./rainy --destination ./derained
prefect deployment run derain-batch
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Annotated, Any

from prefect import State, flow
from prefect.runtime import flow_run
from prefect.states import Completed
from pydantic import Field

from flows.running.command_line import run
from flows.running.flow_settings import flow_settings
from flows.running.outcomes import failed
from infra.catalog.derained import Catalog
from infra.errors import printable
from infra.settings import Settings
from tasks.batch.coordinator import BatchRequest, derain_pending, make_plan, plan_line
from tasks.batch.metrics import failure_metrics, publish_metrics
from tasks.batch.planning.plan import Redo
from tasks.batch.planning.plan_list import write_list
from tasks.batch.preflight import PreparedRun, prepare, refuse_at_once, takes_samples
from tasks.batch.publication import publish
from tasks.batch.summary import RunSummary
from tasks.codec.exports import Export, Kind
from tasks.media.sources import Selection
from tasks.refusals import REFUSALS
from tasks.resolved_model import resolve_at_once


@flow(name="derain-batch")
def derain_batch(
    source: str | None = None,
    destination: str | None = None,
    model: str = "models:/derain-student@champion",
    export: Kind = "same",
    quality: Annotated[int, Field(ge=1, le=100)] = 92,
    include: list[str] | None = None,
    exclude: list[str] | None = None,
    limit: Annotated[int, Field(ge=1)] | None = None,
    plan_only: bool = False,
    redo: Redo = "none",
) -> State[Any]:
    """Derain every photograph of a source that has not been derained yet.

    Run again, it derains only images that are new, changed or pending.

    Args:
        source: Folder, bucket prefix (s3://bucket/prefix), manifest (CSV or Parquet with key, etag, size) or
            Zarr array (T, H, W, 3). Default: DERAIN_SOURCE, or else a few sample photographs.
        destination: Folder or bucket prefix for the derained photographs. Default: DERAIN_DESTINATION.
        model: Registered model (models:/name@alias or models:/name/version), name of a shipped network
            (student-small), or path of a weights file.
        export: Format of the outputs: that of each source image, or always PNG or JPEG.
        quality: JPEG and WebP quality of the outputs, 1 to 100.
        include: Process only keys that match one of these globs. Default: keys with the suffix of an image.
        exclude: Skip keys that match one of these globs.
        limit: Process at most this many images of the source.
        plan_only: Report what would be done and list it as a manifest in the workspace; derain nothing.
        redo: Also redo outputs of another model (stale), or rejected images (rejected).
    """
    selection = Selection(tuple(include or ()), tuple(exclude or ()), limit)
    request = BatchRequest(str(flow_run.id), datetime.now(UTC), selection, redo)
    try:
        with nullcontext() if plan_only else failure_metrics(destination):
            settings = flow_settings()
            wanted = Export(export, quality)
            if plan_only:
                prepared = prepare(
                    settings, source, destination, wanted, model, resolve_at_once, reads_only=True
                )
                return _planned(settings, prepared, request)
            prepared = prepare(settings, source, destination, wanted, model)
            summary = derain_pending(settings, prepared, request)
        publish_metrics(settings, summary)
        samples = _samples_part(summary) if takes_samples(settings, source, destination) else ""
        report = "" if summary.is_idle else f"; report: {publish(summary, prepared.medium, settings)}"
    except REFUSALS as error:
        return failed(str(error))
    if summary.state == "Failed":
        return failed(f"{summary.line()}: {summary.message}{report}")
    return Completed(message=f"{summary.line()}{samples}{report}", data=summary)


def _samples_part(summary: RunSummary) -> str:
    outputs = printable(summary.scope.destination)
    return f"; these are the samples, derained to {outputs}; --source and --destination name your photographs"


def _planned(settings: Settings, prepared: PreparedRun, request: BatchRequest) -> State[Any]:
    """Write the list of pending images, and return the state with the counts."""
    with make_plan(prepared, request, Catalog(settings.workspace)) as found:
        listed = write_list(found, prepared.scope.source, settings.workspace, request.run_id)
        return Completed(message=f"{plan_line(found.counts)}; the list: {listed}", data=found.counts)


def refuse(
    settings: Settings,
    source: str | None,
    destination: str | None,
    model: str,
    export: Kind,
    quality: int,
    plan_only: bool,
    **_: object,
) -> None:
    """Refuse parameters that can be checked without a server, before one starts."""
    refuse_at_once(settings, source, destination, Export(export, quality), model, reads_only=plan_only)


def exported_failures(parameters: dict[str, Any]) -> AbstractContextManager[None]:
    """Return a context that exports the failure of a command with these parameters; a plan exports nothing."""
    return nullcontext() if parameters["plan_only"] else failure_metrics(parameters["destination"])


if __name__ == "__main__":
    run(derain_batch, refuse, exported_failures)

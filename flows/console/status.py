"""`derain status SOURCE DEST`, which lists what is done, pending and rejected, and why, and derains nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.console.arguments import (
    ArgumentRefused,
    Collection,
    PlaceMissing,
    globs,
    refuse_half_set,
    understand,
)
from flows.console.lines import say
from flows.console.networks import model_url
from flows.console.options import ExcludeOption, ExportOption, IncludeOption, QualityOption, RejectsOption
from flows.running.flow_settings import command_settings
from tasks.codec.exports import Export, Kind


def status(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE [DEST]]", help="As for derain. Default: DERAIN_SOURCE and DERAIN_DESTINATION."
        ),
    ] = None,
    model: Annotated[str, typer.Option(help="Model in use: outputs of other models are stale.")] = "champion",
    export: ExportOption = "same",
    quality: QualityOption = 92,
    rejects: RejectsOption = 20,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
) -> None:
    """Show what is done, pending and rejected."""
    from tasks.batch.preflight import prepare
    from tasks.batch.status import status_lines
    from tasks.media.sources import Selection
    from tasks.resolved_model import resolve_at_once

    collection = _collection(places or [], export)
    source, destination = (collection.source, collection.destination) if collection else (None, None)
    settings = command_settings(source, destination)
    if collection is None:
        refuse_half_set(settings, "derain status")
    if collection is None and not settings.source:
        raise PlaceMissing(
            "derain status SOURCE DEST: which folder? Or set DERAIN_SOURCE and DERAIN_DESTINATION"
        )
    wanted = Export(export, quality)
    prepared = prepare(
        settings, source, destination, wanted, model_url(model), resolve_at_once, reads_only=True
    )
    chosen = (*(collection.include if collection else ()), *globs(include))
    for line in status_lines(prepared, Selection(chosen, globs(exclude)), rejects):
        say(line)


def _collection(places: list[str], export: Kind) -> Collection | None:
    if not places:
        return None
    wanted = understand(places, export)
    if isinstance(wanted, Collection):
        return wanted
    raise ArgumentRefused(f"{places[0]}: a single photograph has no status; give a folder")

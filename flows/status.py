"""The command that shows what is done, pending, rejected and stale.

python -m flows.status --source ./rainy --destination ./derained
"""

from __future__ import annotations

from typing import Annotated

import typer

from flows.console.arguments import globs
from flows.console.lines import say
from flows.console.networks import model_url
from flows.console.options import ExcludeOption, ExportOption, IncludeOption, QualityOption, RejectsOption
from flows.running.flow_settings import command_settings
from flows.running.plain_command import run_plainly
from tasks.batch.preflight import prepare
from tasks.batch.status import status_lines
from tasks.codec.exports import Export
from tasks.drift.detection import look_for_drift
from tasks.media.sources import Selection
from tasks.resolved_model import resolve_at_once


def status(
    source: Annotated[
        str | None, typer.Option(help="Source URL. Default: DERAIN_SOURCE, or the samples.")
    ] = None,
    destination: Annotated[
        str | None, typer.Option(help="Destination URL. Default: DERAIN_DESTINATION.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="Outputs of other models than this are stale.")
    ] = "models:/derain-student@champion",
    export: ExportOption = "same",
    quality: QualityOption = 92,
    rejects: RejectsOption = 20,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
) -> None:
    """Show what is done, pending, rejected and stale, and whether photographs drift; nothing is derained."""
    selection = Selection(globs(include), globs(exclude))
    settings = command_settings(source, destination)
    wanted = Export(export, quality)
    prepared = prepare(
        settings, source, destination, wanted, model_url(model), resolve_at_once, reads_only=True
    )
    lines = status_lines(prepared, selection, rejects)
    lines += [f"drift     {view.line()}" for view in look_for_drift(settings, features=False)]
    for line in lines:
        say(line)


if __name__ == "__main__":
    run_plainly("status", status)

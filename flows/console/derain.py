"""`derain SOURCE [DEST]`: derain a photograph or a collection."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.console.arguments import OnePhotograph, understand
from tasks.codec.exports import Kind


def derain(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE... [DEST]",
            help="A photograph, a folder, s3://bucket/prefix, a manifest (.csv, .parquet) or a Zarr array, and"
            " where the derained ones go. Without DEST: beside SOURCE, as photo-derained.jpg or rainy-derained/.",
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="champion, a network from `derain models`, a weights file or models:/name/version."
        ),
    ] = "champion",
    export: Annotated[
        Kind, typer.Option(help="Format of the outputs: same as each source, png or jpeg.")
    ] = "same",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG and WebP outputs.")] = 92,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace the output of a single photograph, if it is there already."
        ),
    ] = False,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Put outputs aside that would be replaced.")
    ] = False,
) -> None:
    """Take the rain out of photographs.

    Running it again on a folder derains what is new, changed or was left over; what is done is left alone.
    """
    from flows.console.photograph import PhotographOptions, derain_photograph

    wanted = understand(places or [], export)
    if isinstance(wanted, OnePhotograph):
        derain_photograph(wanted, PhotographOptions(model, quality, overwrite, keep_old))

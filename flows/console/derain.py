"""`derain SOURCE [DEST]`, which derains a photograph or a collection."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from flows.console.arguments import Collection, OnePhotograph, PlaceMissing, understand
from infra.settings import read_settings
from tasks.codec.exports import Export, Kind


def derain(
    places: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE... [DEST]",
            help="A photograph, a folder, s3://bucket/prefix, a manifest (.csv, .parquet) or a Zarr array, and"
            " where the derained ones go. Without DEST, next to SOURCE: photo-derained.jpg or rainy-derained/.",
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
    include: Annotated[
        list[str] | None,
        typer.Option(
            help="Include only images that match one of these globs, such as '*.jpg,*.png'; repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Exclude images that match one of these globs; repeatable.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Process at most this many images of the source.")
    ] = None,
    redo: Annotated[
        Literal["none", "stale", "rejected"],
        typer.Option(help="Also redo outputs of another model (stale), or rejected images (rejected)."),
    ] = "none",
    plan_only: Annotated[
        bool, typer.Option("--plan-only", help="Print what would be derained, and stop.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the output of a single photograph if it exists."),
    ] = False,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Move outputs that would be replaced to a separate folder.")
    ] = False,
    samples: Annotated[
        bool,
        typer.Option("--samples", help="Without SOURCE and DERAIN_SOURCE: derain a few sample photographs."),
    ] = False,
) -> None:
    """Remove rain from photographs.

    Run again on the same folder, it derains only images that are new, changed or pending.
    """
    wanted = None if samples else _wanted(places, export)
    if isinstance(wanted, OnePhotograph):
        from flows.console.photograph import PhotographOptions, derain_photograph

        derain_photograph(wanted, PhotographOptions(model, quality, overwrite, keep_old))
        return
    from flows.console.collection import CollectionOptions, derain_collection
    from tasks.media.sources import Selection

    chosen = (*(wanted.include if wanted else ()), *_globs(include))
    selection = Selection(chosen, _globs(exclude), limit)
    options = CollectionOptions(model, Export(export, quality), selection, redo, plan_only, keep_old)
    raise typer.Exit(derain_collection(wanted, options))


def _wanted(places: list[str] | None, export: Kind) -> OnePhotograph | Collection | None:
    """Return the job that was typed, or None for the source that the settings name."""
    if places:
        return understand(places, export)
    if read_settings().source is None:
        raise PlaceMissing(
            "nothing to derain: name a photograph or a folder, as in derain photo.jpg; derain --help says more"
        )
    return None


def _globs(typed: list[str] | None) -> tuple[str, ...]:
    """Return globs that were given repeatedly or separated by commas."""
    return tuple(glob for part in typed or () for glob in part.split(",") if glob)

"""`derain SOURCE [DEST]`, which derains a photograph or a collection."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from flows.console.arguments import (
    ArgumentRefused,
    Collection,
    OnePhotograph,
    PlaceMissing,
    globs,
    refuse_half_set,
    understand,
)
from flows.console.options import ExcludeOption, ExportOption, IncludeOption, QualityOption
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
    export: ExportOption = "same",
    quality: QualityOption = 92,
    include: IncludeOption = None,
    exclude: ExcludeOption = None,
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
        typer.Option(
            "--overwrite",
            help="Replace existing files that no run has recorded as outputs, without keeping them.",
        ),
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
    if samples and places:
        raise ArgumentRefused(f"--samples derains photographs of its own; leave it out to derain {places[0]}")
    wanted = None if samples else _wanted(places, export)
    if isinstance(wanted, OnePhotograph):
        _refuse_collection_options(include, exclude, limit, redo, plan_only)
        from flows.console.photograph import PhotographOptions, derain_photograph

        derain_photograph(wanted, PhotographOptions(model, quality, overwrite, keep_old))
        return
    from flows.console.collection import CollectionOptions, derain_collection
    from tasks.media.sources import Selection

    chosen = (*(wanted.include if wanted else ()), *globs(include))
    selection = Selection(chosen, globs(exclude), limit)
    options = CollectionOptions(
        model, Export(export, quality), selection, redo, plan_only, keep_old, overwrite
    )
    raise typer.Exit(derain_collection(wanted, options))


def _wanted(places: list[str] | None, export: Kind) -> OnePhotograph | Collection | None:
    """Return the job that was typed, or None for the source that the settings name."""
    if places:
        return understand(places, export)
    settings = read_settings()
    refuse_half_set(settings, "derain")
    if settings.source is None:
        raise PlaceMissing(
            "nothing to derain: name a photograph or a folder, as in derain photo.jpg; derain --help says more"
        )
    return None


def _refuse_collection_options(
    include: list[str] | None, exclude: list[str] | None, limit: int | None, redo: str, plan_only: bool
) -> None:
    """Refuse options that a photograph would ignore."""
    given = {
        "--include": include,
        "--exclude": exclude,
        "--limit": limit,
        "--redo": redo != "none",
        "--plan-only": plan_only,
    }
    for option, value in given.items():
        if value:
            raise ArgumentRefused(
                f"{option} is for folders and buckets, not for a single photograph; leave it out"
            )

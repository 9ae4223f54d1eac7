"""Options that several commands have (`ExportOption`, `QualityOption`, ...)."""

from __future__ import annotations

from typing import Annotated

import typer

from tasks.codec.exports import Kind

ExportOption = Annotated[Kind, typer.Option(help="Format of the outputs: same as each source, png or jpeg.")]
QualityOption = Annotated[int, typer.Option(min=1, max=100, help="Quality of JPEG and WebP outputs.")]
RejectsOption = Annotated[int, typer.Option(min=0, help="Number of rejected images to list.")]
IncludeOption = Annotated[
    list[str] | None,
    typer.Option(
        help="Include only images that match one of these globs, such as '*.jpg,*.png'; repeatable."
    ),
]
ExcludeOption = Annotated[
    list[str] | None, typer.Option(help="Exclude images that match one of these globs; repeatable.")
]

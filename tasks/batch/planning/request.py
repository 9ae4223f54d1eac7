"""The request for a plan (`PlanRequest`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import polars as pl

from infra.records import Scope
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.output_listing import urls_below
from tasks.codec.keys import output_suffix
from tasks.media.sources import Selection

Redo = Literal["none", "stale", "rejected"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The scope, selection and options of a plan; `model_digest` is the digest of the model that would derain."""

    scope: Scope
    selection: Selection
    redo: Redo
    model_digest: str
    frames: bool = False
    """Whether the source is a Zarr array."""
    folding: NameFolding = field(default_factory=NameFolding)
    """How the destination folds names."""
    named_rejects: int = 0
    """Number of images that stay rejected to return with the plan, the first by key."""

    def destination_urls(self, keys: pl.Series) -> pl.Series:
        """Return the URLs of objects of the destination."""
        return urls_below(self.scope.destination, keys)

    def output_urls(self, keys: pl.Series) -> pl.Series:
        """Return the URLs of the outputs of images."""
        key = pl.col(keys.name)
        names = (
            pl.concat_str(pl.lit("c/"), key.cast(pl.Int64, strict=False), pl.lit("/0/0/0"))
            if self.frames
            else key + output_suffix(self.scope.export)
        )
        return keys.to_frame().select(pl.lit(f"{self.scope.destination}/") + names).to_series()

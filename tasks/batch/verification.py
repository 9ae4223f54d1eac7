"""Verification of a finished run (`find_loss`): detects a destination or workspace removed during the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from infra.catalog.delta.conditions import all_of, quoted
from infra.catalog.delta.schema import VERSION
from infra.catalog.derained import Catalog, in_scope
from infra.records import Scope
from infra.storage.name_folding import NameFolding
from tasks.batch.planning.known_outputs import list_outputs
from tasks.batch.planning.output_listing import INTACT, output_urls, read_listing
from tasks.batch.planning.ref_frames import output_frames
from tasks.media.key_hashes import hash_texts

EXAMPLES = 3
"""Largest number of missing outputs that the run's message names."""
_COLUMNS = ("status", "destination", "output_key", "output_size", "output_etag")


@dataclass(frozen=True, slots=True)
class Loss:
    """Outputs and rows that a run wrote and that are missing at its end."""

    outputs: int = 0
    """Number of outputs with a row that are missing from the destination or were changed."""
    rows: int = 0
    """Number of committed rows that are missing from the catalog."""
    examples: tuple[str, ...] = ()
    """Keys of some of the missing outputs."""

    @property
    def images(self) -> int:
        """Number of images that the next run has to derain again."""
        return self.outputs + self.rows

    def line(self, destination: str) -> str:
        """Describe the loss in one line; empty if nothing is missing."""
        parts = []
        if self.outputs:
            named = ", ".join(self.examples) + (", ..." if self.outputs > len(self.examples) else "")
            parts.append(
                f"{self.outputs:,} outputs that this run wrote to {destination} no longer exist, or were replaced"
                f" ({named}): was it removed or emptied?"
            )
        if self.rows:
            parts.append(
                f"{self.rows:,} rows that this run committed are no longer in the catalog:"
                " was the workspace removed?"
            )
        return "; ".join(parts)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The rows that a run committed to the catalog."""

    run_id: str
    images: int
    """Number of images for which the run committed rows."""
    since: int | None = None
    """Version of the catalog before the run; None if it had none."""

    @property
    def where(self) -> str:
        """SQL condition for the rows of these images.

        Another run may have written them: a coordinator that was frozen within a commit, and lost its lease, may
        still complete that commit while this run works. Each image then has the row that was committed first.
        """
        since = -1 if self.since is None else self.since
        return f"(run_id = {quoted(self.run_id)} OR {VERSION} > {since})"


def find_loss(catalog: Catalog, scope: Scope, recorded: Recorded, folding: NameFolding) -> Loss:
    """List the destination once, and compare it and the catalog with the records of a run.

    Parameters
    ----------
    catalog : Catalog
        Catalog of the workspace.
    scope : Scope
        Scope of the run.
    recorded : Recorded
        The rows that the run committed.
    folding : NameFolding
        How the destination folds names.

    Raises
    ------
    TransientError, AccessDenied
        If the catalog or the destination cannot be read, or a folder there that holds outputs.
    """
    if not recorded.images:
        return Loss()
    outputs = list_outputs(catalog, scope.destination, folding)
    listing = read_listing(scope.destination, output_frames(outputs), folding)
    rows, missing = 0, 0
    examples: list[str] = []
    for batch in catalog.scan(_COLUMNS, all_of(in_scope(scope), recorded.where)):
        rows += batch.num_rows
        frame = pl.DataFrame(batch).filter(pl.col("status") == "derained")
        urls = hash_texts(folding.fold(output_urls(frame["destination"], frame["output_key"])))
        lost = listing.states(urls, frame["output_size"], frame["output_etag"]) != INTACT
        missing += int(np.count_nonzero(lost))
        examples += frame["output_key"].filter(pl.Series(lost))[:EXAMPLES].to_list()
    return Loss(missing, max(0, recorded.images - rows), tuple(sorted(examples)[:EXAMPLES]))

"""A last look at what a run wrote: a destination or workspace that was removed in mid-run is noticed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from infra.catalog.delta_table import quoted
from infra.catalog.derained import Catalog
from infra.records import Scope
from infra.storage.location import open_location
from infra.storage.name_folding import NameFolding
from tasks.batch.output_listing import INTACT, output_urls, read_listing
from tasks.media.key_hashes import hash_texts

EXAMPLES = 3
"""Missing outputs that the run's message names."""
_COLUMNS = ("status", "destination", "output_key", "output_size", "output_etag")


@dataclass(frozen=True, slots=True)
class Loss:
    """What a run wrote and is not there at its end."""

    outputs: int = 0
    """Outputs with a row that are not in the destination, or not as they were written."""
    rows: int = 0
    """Rows that were committed and are not in the catalog."""
    examples: tuple[str, ...] = ()
    """Keys of some of the outputs."""

    @property
    def images(self) -> int:
        """Images that the next run has to derain again."""
        return self.outputs + self.rows

    def line(self, destination: str) -> str:
        """Say what is missing, and of what; nothing where nothing is."""
        parts = []
        if self.outputs:
            named = ", ".join(self.examples) + (", ..." if self.outputs > len(self.examples) else "")
            parts.append(
                f"{self.outputs:,} outputs that this run wrote to {destination} are not there any more, or were"
                f" replaced ({named}): was it removed or emptied?"
            )
        if self.rows:
            parts.append(
                f"{self.rows:,} rows that this run committed are not in the catalog any more:"
                " was the workspace removed?"
            )
        return "; ".join(parts)


def find_loss(catalog: Catalog, scope: Scope, run_id: str, recorded: int, folding: NameFolding) -> Loss:
    """List the destination once, and compare it and the catalog with what a run recorded.

    Parameters
    ----------
    catalog : Catalog
        Of the workspace.
    scope : Scope
        Of the run.
    run_id : str
        The run.
    recorded : int
        Images that the run has committed rows for.
    folding : NameFolding
        Of the destination.

    Raises
    ------
    TransientError, AccessDenied
        Catalog or destination cannot be read now.
    """
    if not recorded:
        return Loss()
    listing = read_listing(scope.destination, open_location(scope.destination).list(), folding)
    rows, missing = 0, 0
    examples: list[str] = []
    for batch in catalog.scan(scope, _COLUMNS, f"run_id = {quoted(run_id)}"):
        rows += batch.num_rows
        frame = pl.DataFrame(batch).filter(pl.col("status") == "derained")
        urls = hash_texts(folding.fold(output_urls(frame["destination"], frame["output_key"])))
        lost = listing.states(urls, frame["output_size"], frame["output_etag"]) != INTACT
        missing += int(np.count_nonzero(lost))
        examples += frame["output_key"].filter(pl.Series(lost))[:EXAMPLES].to_list()
    return Loss(missing, max(0, recorded - rows), tuple(sorted(examples)[:EXAMPLES]))
